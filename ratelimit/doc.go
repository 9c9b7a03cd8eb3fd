// Package ratelimit answers how often: it takes quota from counters, for
// Envoy's rate limit service (envoy.service.ratelimit.v3) and for a Check that
// takes it itself.
//
// It does not know who anybody is. A caller comes as a sallyport.Subject with
// the charges that hold for it; in the paired chain both travel from Check to
// here through Envoy's dynamic metadata and a descriptor, and the descriptor is
// trusted as Envoy is.
//
// All windows of all charges of one request are taken together or not at all,
// and a refusal takes nothing. A take against the in-process counters costs one
// hash, one lock and no allocation once the counter exists; a counter of two
// fixed windows takes some 220 bytes. A Journal keeps them over a restart; package
// redis counts where several servers share.
//
// Requests in flight are counted by slots: Check holds one under the id that the
// proxy gave the stream, and the proxy's access log, which this package serves
// too (envoy.service.accesslog.v3), says when the stream has ended.
//
// Domains other than ours are those of people's own Envoys, with rules in
// envoyproxy/ratelimit's files (package directory) and that service's ways: each
// descriptor by itself, and all of them counted.
//
// A descriptor that no rule matches is allowed, as Envoy's protocol has it:
// refusing the unlisted is Check's work.
package ratelimit
