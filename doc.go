// Package sallyport holds the words that the whole gate speaks in: what a
// request is to it, whose credential it carries, what the policy says, how
// often is allowed, and what was decided and why.
//
// It is for every other package of the module to import and imports none of
// them: standard library only, no I/O, no clock, no lock. Technology (Envoy's
// messages, SQL, YAML) stops at the doors of the rooms around it.
//
// # The map of the house
//
//	extauthz            who are you, and may you? Envoy's Authorization service
//	ratelimit           how often? Envoy's RateLimitService, and the counters
//	envoy               how Envoy is told: its configuration, made from the Policy
//	internal/apikey     the format of keys: prefix, body, checksum, digest
//	internal/pattern    path templates, compiled to a matcher
//	internal/render     answers in an API's own JSON shape
//	internal/proof      how Check vouches for a request to our own endpoints
//	internal/config     sallyport.yaml: strict, all faults at once, then a Policy
//	internal/store      credentials and tenants at rest
//	internal/admin      the authenticated HTTP API over the store
//	internal/anomaly    how credentials are used, and what is done about it
//	internal/telemetry  decisions as metrics
//	internal/app        wiring: New binds, Run serves, Stop drains
//	internal/demo       everything on one machine, for a newcomer
//	cmd/sallyport       the command line
//	examples            documented APIs as configuration, and nothing else
//
// Imports point down that list's layers: cmd, then app, then the rooms, then
// the pure packages apikey, pattern, proof, render and telemetry, then this one.
// Rooms of one layer do not know each other; tests/rooms_test.go holds it.
//
// # One Check
//
// A request goes one way: decode, match the operation, extract the credential,
// parse it, find it (cache, then store), admit it (state, expiry, tenant),
// permit it (scopes), take quota, render, encode. The order is written once,
// in (*extauthz.Authorizer).Decide.
//
// The zero value of everything here refuses: Reason(0) is not Allowed, an
// empty Policy lists nothing, a Credential without a state is not active.
package sallyport
