// Package oauth serves what APIs mount of OAuth 2.0 (RFC 6749 and its companions)
// on their own paths, and verifies the tokens that come of it: the token endpoint,
// the exchange of a key for a token, revocation (RFC 7009), introspection (RFC
// 7662), metadata (RFC 8414) and the key set (RFC 7517).
//
// A token is a JWT (package token) that stands for the credential it was made
// from: a key, a client, or what a user granted a client. It carries that one's
// epoch, which grows with all that ends its tokens. Who verifies a token for the
// first time reads its parent and compares; what is remembered of it rests on the
// stamps of everything it came from (package extauthz), so that what ends a token
// here ends it before the call that did so returns.
//
// What a caller gets to know of a failure is what the RFC names, and no more: who
// guesses does not learn which part was wrong.
package oauth
