// Package token makes and reads the gate's own access tokens: JWTs (RFC 7519)
// in the profile of RFC 9068, signed by a ring of keys that rotates with an
// overlap, and published as a JWK set (RFC 7517).
//
// A token carries the id of the credential that it was made from and the epoch
// of its making (sallyport.Credential.Epochs), so that whoever verifies it can
// ask whether that still stands. This package does not ask: it is pure, knows no
// store and no clock, and says what a token claims and that the ring signed it.
//
// What is refused, whoever signed it: an algorithm that is not its key's (so none,
// and a public key taken for an HMAC secret), a key that is not in the ring
// whatever the header says of others (jku, jwk, x5u are never read), critical
// extensions, another type than at+jwt, more than MaxLength bytes, and claims
// that are missing or of another shape than ours.
//
// A Ring is immutable and safe for concurrent use. Costs: one signature each way,
// and the JSON of some three hundred bytes.
package token
