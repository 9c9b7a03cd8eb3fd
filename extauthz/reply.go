package extauthz

import (
	"math"
	"net/http"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/wire"
)

// reply is what goes back to Envoy about one request. The zero value refuses:
// it is written as a denied_response with status 503, which no setting of
// Envoy's lets pass.
//
// Text is written clean: in names, values and metadata each byte that is a
// control character (tab excepted) or not part of valid UTF-8 becomes '?', so
// that no header is dropped and none splits the response; in the body each
// byte that is not part of valid UTF-8 becomes U+FFFD.
type reply struct {
	Allowed     bool               // and Status is 0 and Failure unset: the request goes on to the upstream
	Set         []sallyport.Header // allowed: headers to the upstream; each takes the place of those of its name
	Remove      []string           // allowed: headers that the upstream does not get
	RemoveQuery []string           // allowed: query parameters that the upstream does not get
	Status      int                // else: the answer's HTTP status; 503 in place of what is not from 200 to 599
	Body        []byte             // else: the answer's body; may lie in the call's scratch
	Failure     bool               // the answer is an error_response, which Envoy counts as our failure and may be told to let pass
	Response    []sallyport.Header // headers to the client; each takes the place of those of its name
	Beside      []sallyport.Header // headers to the client that stand beside the upstream's of their name
	Metadata    []sallyport.Header // dynamic metadata: strings
	Limit       rateOverride       // dynamic metadata: the struct "limit"
}

// rateOverride is the rate limit that Envoy's ratelimit filter reads.
type rateOverride struct {
	Requests uint32
	Unit     string // such as MINUTE; "" leaves the struct out
}

// reset empties r and keeps its memory, but nothing of what stood in it.
func (r *reply) reset() {
	clear(r.Set)
	clear(r.Remove)
	clear(r.RemoveQuery)
	clear(r.Response)
	clear(r.Beside)
	clear(r.Metadata)
	*r = reply{
		Set:         r.Set[:0],
		Remove:      r.Remove[:0],
		RemoveQuery: r.RemoveQuery[:0],
		Response:    r.Response[:0],
		Beside:      r.Beside[:0],
		Metadata:    r.Metadata[:0],
		Body:        r.Body[:0],
	}
}

// Field numbers of CheckResponse and of the messages in it. All are below 16,
// so that every tag is one byte.
const (
	fieldStatus, fieldDenied, fieldOK, fieldMetadata, fieldError = 1, 2, 3, 4, 5 // CheckResponse

	fieldCode = 1 // google.rpc.Status, HttpStatus

	fieldDeniedStatus, fieldDeniedHeaders, fieldDeniedBody                    = 1, 2, 3
	fieldOKHeaders, fieldOKRemove, fieldOKResponseHeaders, fieldOKRemoveQuery = 2, 5, 6, 8

	fieldOptionHeader, fieldOptionAction = 1, 3 // HeaderValueOption
	appendOrAdd, overwriteOrAdd          = 0, 2 // HeaderValueOption.{APPEND_IF_EXISTS_OR_ADD, OVERWRITE_IF_EXISTS_OR_ADD}
)

// append adds r as an envoy.service.auth.v3.CheckResponse to dst: the same
// bytes for the same r.
func (r *reply) append(dst []byte) []byte {
	dst, at := wire.Open(dst, fieldStatus)
	dst = wire.AppendNumber(dst, fieldCode, uint64(r.code()))
	dst = wire.Close(dst, at)

	dst, at = wire.Open(dst, r.member())
	if r.allowed() {
		dst = r.appendOK(dst)
	} else {
		dst = r.appendDenied(dst)
	}
	dst = wire.Close(dst, at)

	if len(r.Metadata) == 0 && r.Limit.Unit == "" {
		return dst
	}
	dst, at = wire.Open(dst, fieldMetadata)
	return wire.Close(r.appendMetadata(dst), at)
}

func (r *reply) allowed() bool { return r.Allowed && r.Status == 0 && !r.Failure }

// code returns what CheckResponse.status says.
func (r *reply) code() codes.Code {
	switch {
	case r.allowed():
		return codes.OK
	case r.Failure:
		return codes.Unavailable
	case r.Status == http.StatusUnauthorized:
		return codes.Unauthenticated
	}
	return codes.PermissionDenied
}

// status returns the HTTP status of an answer. Envoy would put one below 200
// on the wire and then wait for more.
func (r *reply) status() int {
	if r.Status < 200 || r.Status > 599 {
		return http.StatusServiceUnavailable
	}
	return r.Status
}

// member returns which of http_response's members is written.
func (r *reply) member() protowire.Number {
	switch {
	case r.allowed():
		return fieldOK
	case r.Failure:
		return fieldError
	}
	return fieldDenied
}

// appendResponse adds the headers to the client.
func (r *reply) appendResponse(dst []byte, num protowire.Number) []byte {
	return appendOptions(appendOptions(dst, num, r.Response, overwriteOrAdd), num, r.Beside, appendOrAdd)
}

// appendOK adds the fields of an OkHttpResponse.
func (r *reply) appendOK(dst []byte) []byte {
	dst = appendOptions(dst, fieldOKHeaders, r.Set, overwriteOrAdd)
	dst = appendTexts(dst, fieldOKRemove, r.Remove)
	dst = r.appendResponse(dst, fieldOKResponseHeaders)
	return appendTexts(dst, fieldOKRemoveQuery, r.RemoveQuery)
}

// appendDenied adds the fields of a DeniedHttpResponse.
func (r *reply) appendDenied(dst []byte) []byte {
	dst, at := wire.Open(dst, fieldDeniedStatus)
	dst = wire.AppendNumber(dst, fieldCode, uint64(r.status()))
	dst = wire.Close(dst, at)
	dst = r.appendResponse(dst, fieldDeniedHeaders)
	if len(r.Body) == 0 {
		return dst
	}
	dst, at = wire.Open(dst, fieldDeniedBody)
	return wire.Close(appendBody(dst, r.Body), at)
}

// appendMetadata adds the fields of a Struct.
func (r *reply) appendMetadata(dst []byte) []byte {
	for i := range r.Metadata {
		dst = wire.AppendString(dst, r.Metadata[i].Name, r.Metadata[i].Value)
	}
	if r.Limit.Unit == "" {
		return dst
	}
	dst, entry, value := wire.OpenEntry(dst, "limit")
	dst, at := wire.Open(dst, wire.FieldStruct)
	dst = wire.Close(r.Limit.append(dst), at)
	return wire.Close(wire.Close(dst, value), entry)
}

// append adds the fields of a Struct.
func (l *rateOverride) append(dst []byte) []byte {
	dst, entry, value := wire.OpenEntry(dst, "requests_per_unit")
	dst = append(dst, wire.Tag(wire.FieldNumber, protowire.Fixed64Type))
	dst = protowire.AppendFixed64(dst, math.Float64bits(float64(l.Requests)))
	dst = wire.Close(wire.Close(dst, value), entry)
	return wire.AppendString(dst, "unit", l.Unit)
}

// appendOptions adds a HeaderValueOption for each header.
func appendOptions(dst []byte, num protowire.Number, headers []sallyport.Header, action uint64) []byte {
	var option, header int
	for i := range headers {
		dst, option = wire.Open(dst, num)
		dst, header = wire.Open(dst, fieldOptionHeader)
		dst = wire.Close(wire.AppendHeader(dst, &headers[i]), header)
		dst = wire.Close(wire.AppendNumber(dst, fieldOptionAction, action), option)
	}
	return dst
}

func appendTexts(dst []byte, num protowire.Number, texts []string) []byte {
	for _, s := range texts {
		dst = wire.AppendText(dst, num, s)
	}
	return dst
}

// appendBody adds b, made UTF-8.
func appendBody(dst, b []byte) []byte {
	if utf8.Valid(b) {
		return append(dst, b...)
	}
	for len(b) > 0 {
		r, width := utf8.DecodeRune(b)
		dst = utf8.AppendRune(dst, r)
		b = b[width:]
	}
	return dst
}
