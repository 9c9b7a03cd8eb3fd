// Command load measures what a decision costs: the CPU time that the gate
// spends on one whole Check, divided by what an empty Check costs on a default
// grpc-go server with the generated types. `make bench` runs it.
//
// # How it measures
//
// Both servers are child processes with GOMAXPROCS=1 on the loopback
// interface. They get the same load in turn (baseline, measured, baseline, …),
// and the lower quartiles of all rounds are compared: what else runs on the
// machine disturbs both alike, and ratios keep where microseconds do not.
//
// CPU is the servers' own, user and system, from the kernel's CPU clock of the
// process: nanoseconds, threads that have ended included. (The same sum in
// /proc/PID/stat is rounded to 10 ms, and /proc/PID/task/*/schedstat forgets
// threads that ended.)
//
// The load is what Envoy sends for a generated configuration of the fused
// chain, on a fixed number of connections with a fixed number of calls in
// flight on each. Every request has a sid and a request id of its own and one
// of several keys. Every answer is checked to be an OK, one in a hundred is
// decoded in full and checked for what a whole decision carries; the first bad
// answer ends the run with a dump of it.
//
// # The chain
//
// The part chain measures the whole way of a request: our clients, a real Envoy,
// sallyport behind its filters, and an upstream. Envoy is told what users tell
// it, by `sallyport envoy bootstrap`, and makes the sids itself. The ways that
// are compared are Envoy alone, the paired chain, the fused one, the fused one
// with an empty grpc-go Check in sallyport's place, and Envoy's own api_key_auth
// and local_ratelimit with the same keys, which ask nobody: what any answer from
// outside costs can be seen beside them. All run at once and are loaded in turn.
// Before the load each way is shown to be what it says: strangers get 401, the
// counters of sallyport say what it was asked.
//
// CPU of a request is that of Envoy and that of whom it asks, with 16 requests
// on the way at a time; client and upstream are not in it. What a chain adds is
// the sum of both less that of Envoy alone in the same setting. Latency is
// measured apart from it at a fixed rate: requests are due at times that do not
// depend on answers, and count from when they were due, so that a stall is told
// by all whom it held up. It includes the client's and the upstream's own time.
//
// The usual setting, which the bars are for, is a Unix socket to sallyport, one
// worker of Envoy and clients by HTTP/1.1; a full run varies each of them once.
// The upstream is always spoken to by HTTP/1.1, as in what is generated. Without
// an Envoy (ENVOY, or what scripts/envoy.sh finds) the part is left out.
//
// # Limits
//
// The part called limits measures ShouldRateLimit: beside an empty one, with
// what Envoy sends for the paired chain and with rules in a directory of
// envoyproxy/ratelimit's YAML; with more rules and more descriptors; and beside
// envoyproxy/ratelimit itself, which is built from its module by the module in
// the folder rival (the first time that takes minutes).
//
// Beside envoyproxy/ratelimit both sides read the same directory, get the same
// requests in turn, and count in a Redis of their own: the same binary with the
// same settings, nothing on disk. What a Redis spends counts as its server's.
// Neither is told how many connections to Redis to have. envoyproxy/ratelimit
// is told to keep no statistics, because without a statsd it would log each of them,
// and to log errors only, as the gate logs no
// answer that is OK; all else is its default, which is no local cache and no
// pipelining window. Of the gate nothing is turned off, its metrics included. Before anything
// is measured, each server must refuse what is over a limit of one. After that no
// answer refuses, so a cache of refusals would buy nobody anything.
//
// Where there is no Redis on PATH a note stands in place of these lines.
//
// # Overload
//
// The part called overload finds how many Checks a second sallyport answers when
// each is asked for after the one before, and then has three times as many come,
// by an open loop on several connections to its Unix socket. Nobody waits
// longer than a second; a call that is due while each connection has as many on
// their way as sallyport allows, or 4096, is not made, as by Envoy's circuit
// breakers. Every answer is judged: the right one for this caller, a refusal as
// too much, or late; anything else ends the run. Then half of what can be answered comes, on the same connections, and
// what was left behind is in its way. The clients take a core of their own, where
// there is one, but share the machine with sallyport: shares are told, and what
// they are of is the wall clock's and not the CPU's. On a machine that does other
// things meanwhile they tell little. With -profile there is a profile of that time.
//
// # Many keys
//
// The part keys brings 1,000,000 keys of 100,000 tenants into a sallyport with
// `sallyport key import`, and shows it each of them. A Check of any of them is
// compared with one at 1,000 keys, and all are in the cache then; that of a key
// which has the form and which nobody issued with one of a key that is known; the
// first of a key with the later ones. The CPU time of a start, until the gate
// serves, is compared with that of one SELECT of all digests through the same
// driver (cmd/digests). The gate's own counter of reads must show that no key was
// read from the store twice, however many asked for it at once, and tells how many
// strangers got past the filter. What a cached credential takes of the heap is the
// Go benchmark FinderMemory, in the last part.
//
// # The soak
//
// With -soak (`make soak`) nothing is measured against anything. One sallyport,
// whose counters and slots are in a Redis, decides for two Envoys, one of each
// chain, at a steady pace, while every second or so
//   - its configuration is replaced: by call, by signal, by the file alone; or by
//     one with a fault, which must change nothing. Refusals tell which of them
//     made them, and one operation is there in every other one only;
//   - a key is made and rolled, disabled, narrowed or spent, and at last revoked:
//     from the answer of each call on, its secrets get what they now must, through
//     both chains, and the dead are tried again later;
//   - Redis is killed, and starts anew with nothing in it. Nobody is refused for
//     that; a quota is exact while Redis stays, and bounded while it does not.
//
// Every answer is judged, a 503 is as wrong as any, and the first are shown. At
// the end no slot may be held, nor may one have been freed by time alone. The
// gate's live heap (after a collection), resident memory, goroutines and files
// are looked at all the while: the last third of them is compared with the first,
// after caches have filled. Anything wrong, or growth, ends it with an error.
//
// # What it is not for
//
// It measures no throughput but to have too much of it come, and dials nothing
// but the loopback interface and Unix sockets. It needs Linux. A full run
// takes some minutes and both cores of a small machine; QUICK=1 takes
// about one and is good for a first look only.
package main
