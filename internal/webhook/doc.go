// Package webhook signs webhooks and verifies their signatures: an HMAC-SHA-256
// of the raw body, in hexadecimal or base64, perhaps behind a literal prefix, and
// perhaps with a timestamp that is signed along.
//
// It reads what a request says of its signature, and compares. It does not know
// whose the secrets are nor where they are kept (see package extauthz), and it
// remembers nothing: whether a signature came before is asked elsewhere.
//
// # Nothing is told apart
//
// Every comparison is made against every secret, in constant time, and at least
// against two: who sends a signature learns neither which secret was near nor
// whether there was one at all.
//
// It costs two passes over the body (one for each secret where there are more)
// and a handful of small allocations. Everything here is pure and safe for
// concurrent use.
package webhook
