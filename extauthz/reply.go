package extauthz

import (
	"encoding/binary"
	"math"
	"net/http"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sallyport/sallyport"
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
	fieldHeaderKey, fieldHeaderValue     = 1, 2
	appendOrAdd, overwriteOrAdd          = 0, 2 // HeaderValueOption.{APPEND_IF_EXISTS_OR_ADD, OVERWRITE_IF_EXISTS_OR_ADD}

	fieldStructFields, fieldEntryKey, fieldEntryValue = 1, 1, 2
	fieldNumber, fieldString, fieldStruct             = 2, 3, 5 // google.protobuf.Value
)

// append adds r as an envoy.service.auth.v3.CheckResponse to dst: the same
// bytes for the same r, and no more of them than protobuf needs.
func (r *reply) append(dst []byte) []byte {
	code := uint64(r.code())
	dst = appendHead(dst, fieldStatus, sizeNumber(code))
	dst = appendNumber(dst, fieldCode, code)
	dst = appendHead(dst, r.member(), r.answerSize())
	if r.allowed() {
		dst = r.appendOK(dst)
	} else {
		dst = r.appendDenied(dst)
	}
	if n := r.metadataSize(); n > 0 {
		dst = appendHead(dst, fieldMetadata, n)
		dst = r.appendMetadata(dst)
	}
	return dst
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

func (r *reply) answerSize() int {
	if r.allowed() {
		return sizeOptions(r.Set, overwriteOrAdd) + sizeTexts(r.Remove) + r.responseSize() + sizeTexts(r.RemoveQuery)
	}
	return sizeBytes(sizeNumber(uint64(r.status()))) + r.responseSize() + sizeOptional(sizeBody(r.Body))
}

// responseSize is the size of the headers to the client.
func (r *reply) responseSize() int {
	return sizeOptions(r.Response, overwriteOrAdd) + sizeOptions(r.Beside, appendOrAdd)
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
	status := uint64(r.status())
	dst = appendHead(dst, fieldDeniedStatus, sizeNumber(status))
	dst = appendNumber(dst, fieldCode, status)
	dst = r.appendResponse(dst, fieldDeniedHeaders)
	if n := sizeBody(r.Body); n > 0 {
		dst = appendHead(dst, fieldDeniedBody, n)
		dst = appendBody(dst, r.Body)
	}
	return dst
}

func (r *reply) metadataSize() int {
	n := 0
	for i := range r.Metadata {
		n += sizeBytes(sizeEntry(r.Metadata[i].Name, sizeBytes(len(r.Metadata[i].Value))))
	}
	if r.Limit.Unit != "" {
		n += sizeBytes(sizeEntry("limit", sizeBytes(r.Limit.size())))
	}
	return n
}

// appendMetadata adds the fields of a Struct.
func (r *reply) appendMetadata(dst []byte) []byte {
	for i := range r.Metadata {
		dst = appendString(dst, r.Metadata[i].Name, r.Metadata[i].Value)
	}
	if r.Limit.Unit != "" {
		n := r.Limit.size()
		dst = appendEntry(dst, "limit", sizeBytes(n))
		dst = appendHead(dst, fieldStruct, n)
		dst = r.Limit.append(dst)
	}
	return dst
}

const sizeDouble = 1 + 8

func (l *rateOverride) size() int {
	return sizeBytes(sizeEntry("requests_per_unit", sizeDouble)) + sizeBytes(sizeEntry("unit", sizeBytes(len(l.Unit))))
}

// append adds the fields of a Struct.
func (l *rateOverride) append(dst []byte) []byte {
	dst = appendEntry(dst, "requests_per_unit", sizeDouble)
	dst = append(dst, tag(fieldNumber, protowire.Fixed64Type))
	dst = protowire.AppendFixed64(dst, math.Float64bits(float64(l.Requests)))
	return appendString(dst, "unit", l.Unit)
}

// appendString adds an entry of a Struct whose value is text.
func appendString(dst []byte, key, text string) []byte {
	dst = appendEntry(dst, key, sizeBytes(len(text)))
	return appendText(dst, fieldString, text)
}

// sizeEntry is the size of an entry of a Struct whose Value has n bytes.
func sizeEntry(key string, n int) int { return sizeBytes(len(key)) + sizeBytes(n) }

// appendEntry adds an entry of a Struct up to its Value, which has n bytes.
func appendEntry(dst []byte, key string, n int) []byte {
	dst = appendHead(dst, fieldStructFields, sizeEntry(key, n))
	dst = appendText(dst, fieldEntryKey, key)
	return appendHead(dst, fieldEntryValue, n)
}

func sizeOptions(headers []sallyport.Header, action uint64) int {
	n := 0
	for i := range headers {
		n += sizeBytes(sizeBytes(sizeHeader(&headers[i])) + sizeNumber(action))
	}
	return n
}

// appendOptions adds a HeaderValueOption for each header.
func appendOptions(dst []byte, num protowire.Number, headers []sallyport.Header, action uint64) []byte {
	for i := range headers {
		h := &headers[i]
		n := sizeHeader(h)
		dst = appendHead(dst, num, sizeBytes(n)+sizeNumber(action))
		dst = appendHead(dst, fieldOptionHeader, n)
		if h.Name != "" {
			dst = appendText(dst, fieldHeaderKey, h.Name)
		}
		if h.Value != "" {
			dst = appendText(dst, fieldHeaderValue, h.Value)
		}
		dst = appendNumber(dst, fieldOptionAction, action)
	}
	return dst
}

func sizeHeader(h *sallyport.Header) int {
	return sizeOptional(len(h.Name)) + sizeOptional(len(h.Value))
}

func sizeTexts(texts []string) int {
	n := 0
	for _, s := range texts {
		n += sizeBytes(len(s))
	}
	return n
}

func appendTexts(dst []byte, num protowire.Number, texts []string) []byte {
	for _, s := range texts {
		dst = appendText(dst, num, s)
	}
	return dst
}

// sizeBytes is the size of a field of n bytes, sizeOptional that of one that
// is left out where it is empty.
func sizeBytes(n int) int { return 1 + protowire.SizeBytes(n) }

func sizeOptional(n int) int {
	if n == 0 {
		return 0
	}
	return sizeBytes(n)
}

// tag is what a field begins with.
func tag(num protowire.Number, typ protowire.Type) byte { return byte(num)<<3 | byte(typ) }

// appendHead adds what stands before a field's n bytes.
func appendHead(dst []byte, num protowire.Number, n int) []byte {
	return protowire.AppendVarint(append(dst, tag(num, protowire.BytesType)), uint64(n))
}

// sizeNumber is the size of a numeric field, which is left out where it is 0.
func sizeNumber(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

func appendNumber(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(append(dst, tag(num, protowire.VarintType)), v)
}

// appendText adds s, cleaned; cleaning does not change its length.
func appendText(dst []byte, num protowire.Number, s string) []byte {
	dst = appendHead(dst, num, len(s))
	at := len(dst)
	dst = append(dst, s...)
	cleanText(dst[at:])
	return dst
}

// printable reports whether all of b is printable ASCII, looking at eight bytes
// at a time: nearly all that is written is, and it is all looked at.
func printable(b []byte) bool {
	const each = 0x0101010101010101 // times a byte: that byte, eight times
	for len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b)
		control := (x - each*' ') &^ x                         // the high bit of bytes below a space
		deleted := ((x ^ each*0x7f) - each) &^ (x ^ each*0x7f) // and of those that are DEL
		if (x|control|deleted)&(each*0x80) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c < ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// cleanText puts '?' in the place of each byte that may not stand in a header.
func cleanText(b []byte) {
	if printable(b) {
		return
	}
	for i := 0; i < len(b); {
		c := b[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				b[i] = '?'
			}
			i += n
			continue
		}
		if c < ' ' && c != '\t' || c == 0x7f {
			b[i] = '?'
		}
		i++
	}
}

// sizeBody is the length of b once it is UTF-8.
func sizeBody(b []byte) int {
	n := len(b)
	if utf8.Valid(b) {
		return n
	}
	for len(b) > 0 {
		r, width := utf8.DecodeRune(b)
		if r == utf8.RuneError && width == 1 {
			n += utf8.RuneLen(utf8.RuneError) - 1
		}
		b = b[width:]
	}
	return n
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
