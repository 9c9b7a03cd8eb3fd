// Package extauthz answers who are you, and may you: it is Envoy's
// Authorization service (envoy.service.auth.v3).
//
// A Check goes one way, written once in (*Authorizer).Decide: match the
// operation, extract the credential, parse it, find it, admit it, permit it,
// take quota, and render the answer. Only server.go, wire.go, reply.go and
// codec.go know Envoy; everything between works on the sallyport vocabulary.
//
// It does not keep credentials: it asks a Loader, and remembers what it was
// told until it is told otherwise (see Finder, which says why a revocation
// holds the moment it is announced). It does not count: it asks a Limiter.
//
// A refusal is a value, never an error. An outage of ours is a refusal too (503
// with Retry-After): a bare gRPC error would leave the decision to Envoy's
// failure mode.
//
// On a cache hit a decision costs no allocation, one HMAC, one look-up and, in
// the fused chain, one lock.
package extauthz
