// Package issuer reads the access tokens of outside issuers: JWTs (RFC 7519),
// which a Verifier checks with the issuer's published Keys, and opaque ones, which
// an Introspector asks the issuer about (RFC 7662). A Mapping then says what their
// claims mean here.
//
// It is not for the gate's own tokens (package token), and it does not decide:
// it knows no store, no tenant and no policy. It says that an issuer stands for a
// set of claims, until when, and what they come to in our words. Remembering
// answers is for the caller, who also remembers keys: what Verify returned is good
// until its Expires, or until State.Withdrawn says that a key was taken back.
//
// Issuers are trusted with their own tokens and nothing else. Whatever else the
// token says, no key but a listed one counts (jku, x5u and x5t are never read, and
// a token that brings its own key is refused); a key is used with the algorithms
// of its own type only, all of them asymmetric; text that could be read in two
// ways is refused (names twice in an object, base64 that another text decodes to
// as well, letters that are not Unicode, extensions that we would have to
// understand), and so is a token bound to a key by cnf, since we ask for no proof.
//
// Costs: Verify is one signature and the JSON of the token, and no request except
// where the token names a key that is not known: that is at most one request in
// ten seconds, whatever strangers send. Ask is one request for each token at a
// time. Keys has one goroutine and Introspector one for each question; Close waits
// for them. Everything is safe for concurrent use.
package issuer
