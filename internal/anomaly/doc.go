// Package anomaly watches how credentials are used, by an API's rules over the
// networks that they are used from, the requests of theirs that are refused, and
// all of their requests; and acts where a rule is crossed: Watch counts, Actor
// writes to the log, disables or revokes.
//
// # What counts for whom
//
// A request counts for the credential that it carries, and one with a token for
// what the token was made from: the key, the client or the grant. It counts as a
// refusal where the credential was good and the request was refused all the same:
// by its scopes, its tenant, its address, its form, or for being too much. What
// shadow mode let pass is no refusal.
//
// Nothing counts where nobody was identified, so that guesses of others harm no
// key; where the credential itself is no good; where the gate failed or is not
// done; for preflights; at the endpoints by which callers get tokens, which have
// limits of their own; and for senders of webhooks, who have no credential that
// could be disabled.
//
// A network is an IPv4 /24 or an IPv6 /48, of the address that the proxy vouches
// for. An address that cannot be read is of no network.
//
// # When a rule is crossed
//
// A rule is crossed when there is more than it says. It is told once, and again
// when the count was not over it meanwhile, or when its time has passed since it
// was told and it still is. When a credential is disabled, revoked or rolled, or
// its roles change, its counts begin anew.
//
// Networks are counted exactly: each that was seen within the rule's time. Of
// refusals and requests the time is cut into 32 slices, and what is in the slice
// of this moment and the 31 before it counts: never anything older than the rule's
// time, and surely all of the last 31/32 of it.
//
// # What it is not for
//
// It limits nobody: that is the business of limits, which refuse the one request
// too many, while a rule looks at what has happened. Each instance counts by
// itself what it decides, and forgets it at its end.
//
// # What it costs
//
// An API without rules costs a comparison. With rules, a request whose credential
// and network are known takes one short lock and allocates nothing; one of a grant
// takes two. At most 65,536 credentials and 1,048,576 networks are remembered:
// the credentials that were not used for the longest are forgotten first, and so
// are those whose events have all left the rules' times. Three rules take about
// one KiB a credential, and a network takes about 60 bytes.
package anomaly
