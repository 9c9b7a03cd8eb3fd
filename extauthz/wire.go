package extauthz

import (
	"errors"
	"hash/maphash"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/wire"
)

// maxLines is how many header lines a message may carry; Envoy's own default
// is 100. It bounds the work that a proxy out of its mind can cause.
const maxLines = 1000

var (
	errDepth = errors.New("message is nested too deeply")
	errLines = errors.New("message has more than 1000 header lines")
)

// decodeCheck reads an envoy.service.auth.v3.CheckRequest into req, whose old
// content is dropped. msg is copied once and req's strings are parts of that
// copy, so msg may be reused at once; whoever keeps a part for longer than the
// request clones it, or keeps the whole message.
//
// It refuses what proto.Unmarshal into the generated type refuses, also in
// fields that it does not read, and more than maxLines header lines. On an
// error req holds what was read, so that the refusal can be in the API's own
// shape; nobody may be let in on it. After wire.ErrText only the text that is not
// UTF-8 is missing.
//
// Envoy sends headers either as a map (values of one name joined by commas) or
// as a header_map (each line by itself, as bytes). Of a message that has lines
// in both, the header_map counts alone: it tells repeated lines apart.
// Lines of the map come in the order in which each name was first met.
func decodeCheck(msg []byte, req *sallyport.Request) error {
	clear(req.Headers)
	*req = sallyport.Request{Headers: req.Headers[:0]}
	d := decoder{msg: msg, text: string(msg), req: req}
	err := d.walk(0, len(msg), kindCheckRequest, protowire.DefaultRecursionLimit)
	d.finish()
	if err == nil {
		err = d.fault
	}
	return err
}

// kind is what a field's value is to the decoder.
type kind uint8

const (
	kindIgnored kind = iota // whatever it is, its length is all that matters

	// Text, which proto3 wants to be UTF-8. All but the first is kept.
	kindText
	kindMethod
	kindPath
	kindHost
	kindBody
	kindAddress
	kindName
	kindValue

	// Bytes.
	kindRawBody
	kindRawValue

	// A number.
	kindSize

	// Messages, and the entries of maps, which look the same on the wire.
	kindCheckRequest
	kindAttributes
	kindSource
	kindSourceAddress
	kindSourceSocket
	kindSourcePipe
	kindSourceInternal
	kindPeer
	kindPeerAddress
	kindSocket
	kindPipe
	kindInternal
	kindLabel
	kindRequest
	kindTimestamp
	kindHTTP
	kindHeaderEntry
	kindHeaderMap
	kindHeaderValue
	kindExtension
	kindTLS
	kindMetadata
	kindStructEntry
	kindAnyEntry
	kindObject
	kindObjectEntry
	kindObjectValue
	kindList
	kindWrapped

	kinds
)

// shapes says for each message what its fields are, by their numbers in the
// .proto files of Envoy 1.40 and of protobuf's well-known types.
var shapes = [kinds][14]kind{
	kindCheckRequest: {1: kindAttributes},
	kindAttributes:   {1: kindSource, 2: kindPeer, 4: kindRequest, 10: kindExtension, 11: kindMetadata, 12: kindTLS, 13: kindMetadata},
	kindExtension:    {1: kindName, 2: kindValue},

	kindSource:         {1: kindSourceAddress, 2: kindText, 3: kindLabel, 4: kindText, 5: kindText},
	kindSourceAddress:  {1: kindSourceSocket, 2: kindSourcePipe, 3: kindSourceInternal},
	kindSourceSocket:   {2: kindAddress, 4: kindText, 5: kindText, 7: kindText},
	kindSourcePipe:     {1: kindText},
	kindSourceInternal: {1: kindText, 2: kindText},
	kindPeer:           {1: kindPeerAddress, 2: kindText, 3: kindLabel, 4: kindText, 5: kindText},
	kindPeerAddress:    {1: kindSocket, 2: kindPipe, 3: kindInternal},
	kindSocket:         {2: kindText, 4: kindText, 5: kindText, 7: kindText},
	kindPipe:           {1: kindText},
	kindInternal:       {1: kindText, 2: kindText},
	kindLabel:          {1: kindText, 2: kindText},

	kindRequest: {1: kindTimestamp, 2: kindHTTP},
	kindHTTP: {1: kindText, 2: kindMethod, 3: kindHeaderEntry, 4: kindPath, 5: kindHost, 6: kindText, 7: kindText, 8: kindText,
		9: kindSize, 10: kindText, 11: kindBody, 12: kindRawBody, 13: kindHeaderMap},
	kindHeaderEntry: {1: kindName, 2: kindValue},
	kindHeaderMap:   {1: kindHeaderValue},
	kindHeaderValue: {1: kindName, 2: kindValue, 3: kindRawValue},

	kindTLS:         {1: kindText},
	kindMetadata:    {1: kindStructEntry, 2: kindAnyEntry},
	kindStructEntry: {1: kindText, 2: kindObject},
	kindObject:      {1: kindObjectEntry},
	kindObjectEntry: {1: kindText, 2: kindObjectValue},
	kindObjectValue: {3: kindText, 5: kindObject, 6: kindList},
	kindList:        {1: kindObjectValue},
	kindAnyEntry:    {1: kindText, 2: kindWrapped},
	kindWrapped:     {1: kindText},
}

// decoder is one pass over one message. A field that occurs again overwrites
// its slot and a message that occurs again goes on filling the same slots,
// which is how protobuf merges.
type decoder struct {
	msg   []byte
	text  string // the same bytes, ours to keep
	req   *sallyport.Request
	got   [kindRawValue + 1]string // by kind
	size  int64
	lines int                    // met so far, repeated ones included
	raw   bool                   // a line of the header_map was met
	seen  *[seenBits / 64]uint64 // names in the map so far, as a Bloom filter; nil while they are few
	fault error                  // the text that was not UTF-8
}

// walk reads the message of kind of that lies in d.msg[at:end]. Whatever has
// another wire type than its field is an unknown field, as in protobuf.
func (d *decoder) walk(at, end int, of kind, depth int) error {
	if depth == 0 {
		return errDepth
	}
	msg := d.msg[:end]
	for at < end {
		tag, n := uint64(msg[at]), 1
		if tag >= 0x80 {
			tag, n = protowire.ConsumeVarint(msg[at:])
		}
		num, typ := protowire.DecodeTag(tag)
		if n < 0 || num < protowire.MinValidNumber || num > protowire.MaxValidNumber {
			return wire.ErrWire
		}
		at += n
		as := kindIgnored
		if int(num) < len(shapes[of]) {
			as = shapes[of][num]
		}
		switch {
		case as == kindSize && typ == protowire.VarintType:
			var v uint64
			v, n = protowire.ConsumeVarint(msg[at:])
			d.size = int64(v)
		case as != kindIgnored && as != kindSize && typ == protowire.BytesType:
			length, m := protowire.ConsumeVarint(msg[at:])
			if m < 0 || length > uint64(end-at-m) {
				return wire.ErrWire
			}
			at, n = at+m, int(length)
			if err := d.take(at, at+n, as, depth); err != nil {
				return err
			}
		default:
			n = protowire.ConsumeFieldValue(num, typ, msg[at:])
		}
		if n < 0 {
			return wire.ErrWire
		}
		at += n
	}
	return nil
}

// take keeps the text or bytes, or reads the message, in d.msg[from:to].
func (d *decoder) take(from, to int, as kind, depth int) error {
	if as < kindSize {
		if as < kindRawBody && !utf8.Valid(d.msg[from:to]) {
			d.fault = wire.ErrText
		} else {
			d.got[as] = d.text[from:to]
		}
		return nil
	}
	if as == kindHeaderValue && d.usualLine(from, to) {
		return d.line(as)
	}
	d.open(as)
	if err := d.walk(from, to, as, depth-1); err != nil {
		return err
	}
	return d.close(as)
}

// open is called before a message is read. Those that repeat do not merge.
func (d *decoder) open(as kind) {
	if as == kindHeaderEntry || as == kindHeaderValue || as == kindExtension {
		d.got[kindName], d.got[kindValue], d.got[kindRawValue] = "", "", ""
	}
}

// close is called after a message was read.
func (d *decoder) close(as kind) error {
	switch as {
	case kindHeaderEntry, kindHeaderValue:
		return d.line(as)
	case kindExtension:
		d.extend()
	case kindSourcePipe, kindSourceInternal:
		d.got[kindAddress] = "" // of the address's members the last one counts
	}
	return nil
}

// line adds the header line that was just read.
func (d *decoder) line(as kind) error {
	if d.lines++; d.lines > maxLines {
		return errLines
	}
	h := sallyport.Header{Name: d.got[kindName], Value: d.got[kindValue]}
	if as == kindHeaderEntry {
		if !d.raw && !d.replace(h) {
			d.req.Headers = append(d.req.Headers, h)
		}
		return nil
	}
	if !d.raw {
		d.raw = true
		clear(d.req.Headers)
		d.req.Headers = d.req.Headers[:0]
	}
	if v := d.got[kindRawValue]; v != "" {
		h.Value = v
	}
	h.Name = lowerName(h.Name)
	d.req.Headers = append(d.req.Headers, h)
	return nil
}

// usualLine reads the HeaderValue in d.msg[from:to] if it has the form that
// Envoy sends: fields of one tag byte and at most two bytes of length. Headers
// are most of a message, and this is most of the speed; whatever is unusual is
// left to walk, which is always right.
func (d *decoder) usualLine(from, to int) bool {
	var name, value, raw string
	for at := from; at < to; {
		if to-at < 3 {
			return false
		}
		tag, length := d.msg[at], int(d.msg[at+1])
		at += 2
		if length >= 0x80 {
			length = length&0x7f | int(d.msg[at])<<7
			if d.msg[at] >= 0x80 {
				return false
			}
			at++
		}
		if length > to-at {
			return false
		}
		text := d.text[at : at+length]
		at += length
		switch tag {
		case 1<<3 | byte(protowire.BytesType):
			name = text
		case 2<<3 | byte(protowire.BytesType):
			value = text
		case 3<<3 | byte(protowire.BytesType):
			raw = text
		default:
			return false
		}
	}
	if !isPlain(name) && !utf8.ValidString(name) || !utf8.ValidString(value) {
		return false
	}
	d.got[kindName], d.got[kindValue], d.got[kindRawValue] = name, value, raw
	return true
}

const (
	seenBits = 8192
	fewLines = 32
)

var seenSeed = maphash.MakeSeed()

// replace puts h in the place of the map's entry of the same name, and reports
// whether there is one. Beyond a few lines a filter spares most names the
// search.
func (d *decoder) replace(h sallyport.Header) bool {
	if d.seen == nil && len(d.req.Headers) > fewLines {
		d.seen = new([seenBits / 64]uint64)
		for i := range d.req.Headers {
			d.note(d.req.Headers[i].Name)
		}
	}
	if d.seen != nil && !d.note(h.Name) {
		return false
	}
	for i := range d.req.Headers {
		if d.req.Headers[i].Name == h.Name {
			d.req.Headers[i].Value = h.Value
			return true
		}
	}
	return false
}

// note puts name into the filter, and reports whether it may have been there.
func (d *decoder) note(name string) bool {
	bit := maphash.String(seenSeed, name) % seenBits
	word, mask := &d.seen[bit/64], uint64(1)<<(bit%64)
	met := *word&mask != 0
	*word |= mask
	return met
}

// extend reads the context extension that was just met: what the route says.
func (d *decoder) extend() {
	switch d.got[kindName] {
	case "api":
		d.req.API = d.got[kindValue]
	case "chain":
		var known bool
		if d.req.Chain, known = sallyport.ParseChain(d.got[kindValue]); !known && d.got[kindValue] != "" {
			d.req.Chain = sallyport.PerListener // what we cannot read promises nothing
		}
	case "source":
		d.req.SourceHeader = strings.ToLower(d.got[kindValue])
	}
}

// finish makes the request of what was read.
func (d *decoder) finish() {
	d.req.Method = d.got[kindMethod]
	d.req.Host = d.got[kindHost]
	d.req.Path, d.req.Query, _ = strings.Cut(d.got[kindPath], "?")
	d.req.Source = d.got[kindAddress]
	d.req.Size = d.size
	d.req.Body = d.got[kindRawBody]
	if d.req.Body == "" {
		d.req.Body = d.got[kindBody]
	}
	if d.raw {
		return // line has seen to the names
	}
	for i := range d.req.Headers {
		d.req.Headers[i].Name = lowerName(d.req.Headers[i].Name)
	}
}

// lowerName returns a header's name in lower case. Only ASCII has case here:
// strings.ToLower would make a k of the Kelvin sign, and a name of another.
func lowerName(s string) string {
	if isPlain(s) {
		return s
	}
	return strings.Map(lowerRune, s)
}

// isPlain reports whether s is ASCII without upper case, looking at eight bytes
// at a time, the last of them perhaps twice: so is every name that Envoy sends.
func isPlain(s string) bool {
	if len(s) < 8 {
		for i := range len(s) {
			if s[i] >= utf8.RuneSelf || isUpper(rune(s[i])) {
				return false
			}
		}
		return true
	}
	const each = 0x0101010101010101 // times a byte: that byte, eight times
	for at := 0; ; at = min(at+8, len(s)-8) {
		b := s[at : at+8]
		x := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		low := x & (each * 0x7f)
		upper := (low + each*(0x80-'A')) &^ (low + each*(0x80-'Z'-1)) // the high bit of bytes from A to Z
		if (x|upper)&(each*0x80) != 0 {
			return false
		}
		if at == len(s)-8 {
			return true
		}
	}
}

func lowerRune(r rune) rune {
	if isUpper(r) {
		return r + 'a' - 'A'
	}
	return r
}

func isUpper(r rune) bool { return 'A' <= r && r <= 'Z' }
