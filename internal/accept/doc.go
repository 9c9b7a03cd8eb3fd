// Package accept makes the tokens of outside issuers into credentials of ours. It
// chooses the issuer that a token is of (package issuer then verifies it, or asks
// about it), finds the tenant that its claims name, and hands all other tokens to
// the verifier of our own.
//
// An issuer answers for whom its configuration lets it: with claims.tenant it may
// name any tenant of the API, with fixed_tenant one. Who acts is called as the
// issuer calls it; the id of the credential, which limits count by, has the
// issuer's URL before it, so that two issuers' users never share it.
package accept
