// Package admin is the authenticated HTTP API by which tenants and keys are
// made, listed, changed and revoked. It is described by itself: OpenAPI at
// /admin/openapi.json, for people at /admin/docs. The request and answer types
// are exported, so that clients written in Go decode what is encoded here.
//
// It is not for the callers of the guarded APIs: what they may ask about their
// own keys is mounted on those APIs' own paths. It keeps nothing itself; rules
// about what may be kept come from the policy, storage from [Store].
//
// # What it promises
//
// Nothing under /admin/ is looked at before the caller has shown an admin
// token, not even whether the path exists. Tokens are kept as digests alone.
//
// A write is answered after the store has committed it and after the caches of
// this instance were told (see [Forgetter]): what an answer says is true for
// the next request. A write goes on if its caller goes away. Caches are told
// also where the store failed, because then nobody knows what it did.
//
// A key is shown once, in the answer that makes it. Answers are problem+json
// (RFC 9457) for everything that goes wrong, name each faulty field, and repeat
// nothing that may be a secret in the wrong place. Nothing may be cached.
//
// # Costs
//
// For operators, not for the path of requests: a write costs what the store's
// commit costs, an authentication is one digest and one look-up in the store.
package admin
