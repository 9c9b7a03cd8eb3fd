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
// # What it is not for
//
// It does not measure latency or throughput, does not find a server's limits,
// and dials nothing but the loopback interface. It needs Linux. A full run
// takes about two minutes and both cores of a small machine; QUICK=1 takes
// less than 40 seconds and is good for a first look only.
package main
