// Package admin is the authenticated HTTP API by which tenants, users, roles,
// keys and senders of webhooks are made, listed, changed and revoked, and the
// running gate is asked and reloaded. It is described by itself: OpenAPI at
// /admin/openapi.json, for people at /admin/docs. The request and answer types
// are exported, so that clients written in Go decode what is encoded here.
//
// It is not for the callers of the guarded APIs: what they may ask about their
// own keys is mounted on those APIs' own paths. It keeps nothing itself; rules
// about what may be kept come from the policy, storage from [Store].
//
// # Who may
//
// Nothing under /admin/ is looked at before the caller has shown an admin
// token, not even whether the path exists. Tokens are kept as digests alone. A
// token has a role ([Roles]), and may be for one API or one tenant only: then
// nothing else exists for it, and what lies outside is answered as what is not
// there. What each operation asks for stands in one table (needs); what is not
// in it is refused. Nobody makes a token that may more, or lives longer, than
// their own.
//
// The way back in for who has lost all tokens is one of the operator's own in
// the configuration, which is always an administrator's. Where all are revoked,
// the next start makes a new first one.
//
// # Limits
//
// What a key gets under a limit is what its own override says, else its
// tenant's, else its plan or, where it has none, its tenant's plan. Overrides
// are of limits with windows: one of requests in flight is the same for all.
// What was agreed with a tenant is not its own to change: an admin token of one
// tenant changes neither plans nor limits nor overrides, nor attributes that
// limits look at, and it sees counters without resetting them. Users and keys
// that it makes are counted by those attributes of the tenant or user: where
// neither has one, not even an empty one, nothing is made until an operator has
// given it. A key that an API's own endpoint makes has those of the key that made
// it.
//
// Counters are reached through [Limits]. Which one it is depends on what the
// limit is per: without a key, those of keys are listed as needing one. A reset
// that names no limit is of the counters that nobody shares.
//
// # What it promises
//
// A write is answered after the store has committed it and after the caches of
// this instance were told (see [Forgetter]): what an answer says is true for
// the next request. A write goes on if its caller goes away. Caches are told
// also where the store failed, because then nobody knows what it did.
//
// A key is shown once, in the answer that makes it; the secret of a sender too,
// which is kept encrypted because the gate has to read it again. Answers are problem+json
// (RFC 9457) for everything that goes wrong, name each faulty field, and repeat
// nothing that may be a secret in the wrong place. Nothing may be cached.
//
// One tenant, user or key carries an ETag, a hash of what is shown. A change
// with If-Match is made only if that is still what would be shown, which is
// looked at in the transaction that makes the change.
//
// An import is all or nothing, and may be sent again: a secret that is there
// already stays as it is.
//
// # Costs
//
// For operators, not for the path of requests: a write costs what the store's
// commit costs, an authentication is one digest and one look-up in the store.
package admin
