// Package wire carries the calls of Envoy's services between gRPC's bytes and
// the handlers without generated types: no reflection, and no allocation for
// each field. Codec is the way in and out; the rest are the pieces that a
// Message reads and appends its fields with, in protobuf's encoding
// (https://protobuf.dev/programming-guides/encoding).
//
// Text is written clean: each byte that is a control character (tab excepted) or
// not part of valid UTF-8 becomes '?', so that no header is dropped and none
// splits a response.
package wire
