package ratelimit

import (
	"errors"
	"iter"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Where the protocol puts what is read of it: the numbers of its fields
// (envoy/service/accesslog/v3/als.proto, envoy/data/accesslog/v3/accesslog.proto).
const (
	messageHTTP  = 2 // of StreamAccessLogsMessage
	httpEntry    = 1 // of HTTPAccessLogEntries, repeated
	entryCommon  = 1 // of HTTPAccessLogEntry
	entryRequest = 3
	entryAnswer  = 4

	commonMetadata = 17 // of AccessLogCommon
	commonRoute    = 19
	commonType     = 33
	metadataFilter = 1 // of Metadata: a map
	requestHeaders = 13
	answerHeaders  = 4
	answerDetails  = 6
	structFields   = 1 // of google.protobuf.Struct: a map
	valueString    = 3 // of google.protobuf.Value

	mapKey, mapValue = 1, 2
)

// logMessage takes a message of the access log as it came. An empty message
// keeps whatever it gets as unknown: so what nobody reads costs nothing, and a
// client's bytes that are not UTF-8 cannot end the stream that tells of others.
type logMessage = emptypb.Empty

// unread is the bytes of m.
func unread(m *logMessage) []byte { return protoreflect.ProtoMessage(m).ProtoReflect().GetUnknown() }

// logEntry is one HTTP entry. Its fields are parts of the message.
type logEntry struct {
	kind                             uint64
	metadata, route, request, answer []byte
}

var errLogEntry = errors.New("access log entry is not of its protocol")

// entries yields the HTTP entries of a message, and an error for each that
// cannot be read.
func entries(message []byte) iter.Seq2[logEntry, error] {
	return func(yield func(logEntry, error) bool) {
		logs, ok := field(message, messageHTTP)
		for rest := logs; ok && len(rest) > 0; {
			var number protowire.Number
			var value []byte
			number, value, _, rest, ok = next(rest)
			if !ok || number != httpEntry {
				continue
			}
			if !yield(parseLogEntry(value)) {
				return
			}
		}
		if !ok {
			yield(logEntry{}, errLogEntry)
		}
	}
}

func parseLogEntry(b []byte) (e logEntry, err error) {
	common, ok := field(b, entryCommon)
	if ok {
		e.request, ok = field(b, entryRequest)
	}
	if ok {
		e.answer, ok = field(b, entryAnswer)
	}
	for rest := common; ok && len(rest) > 0; {
		var number protowire.Number
		var value []byte
		var n uint64
		switch number, value, n, rest, ok = next(rest); number {
		case commonType:
			e.kind = n
		case commonMetadata:
			e.metadata = join(e.metadata, value)
		case commonRoute:
			e.route = value
		}
	}
	if !ok {
		return logEntry{}, errLogEntry
	}
	return e, nil
}

// sid is the proxy's id of the stream, "" where no filter saw it.
//
// The filter that writes it has not run where the proxy refuses a request by
// itself: the header is the client's own then, and to believe it would let a
// client that knows a sid free the slots of a stream that goes on. Such a request
// has no route, for the proxy looks for one later; or it asked for an upgrade
// that is not there. Check is asked about none of them, so that they hold
// nothing. What Check has decided about, the filter saw. People's own configuration
// should give its routes names: without, who leaves during Check holds a slot
// until its lease ends.
func (e *logEntry) sid() string {
	if (len(e.route) == 0 || e.details() == logNoUpgrade) && e.checked(logDecision) == "" {
		return ""
	}
	value, _ := inMap(e.request, requestHeaders, logHeaderSID)
	return string(value)
}

// told returns a header of the answer.
func (e *logEntry) told(header string) (value string, ok bool) {
	b, ok := inMap(e.answer, answerHeaders, header)
	return string(b), ok
}

// details says who made the answer, and why.
func (e *logEntry) details() string {
	value, _ := field(e.answer, answerDetails)
	return string(value)
}

// checked returns what Check wrote in its metadata under key, where that is a
// string.
func (e *logEntry) checked(key string) string {
	written, _ := inMap(e.metadata, metadataFilter, logNamespace)
	value, _ := inMap(written, structFields, key)
	s, _ := field(value, valueString)
	return string(s)
}

// inMap returns the value of key in the map that field number of b is.
func inMap(b []byte, number protowire.Number, key string) (value []byte, found bool) {
	for ok := true; ok && len(b) > 0; {
		var n protowire.Number
		var pair []byte
		if n, pair, _, b, ok = next(b); !ok || n != number {
			continue
		}
		if k, ok := field(pair, mapKey); ok && string(k) == key {
			value, _ = field(pair, mapValue)
			found = true
		}
	}
	return value, found
}

// field returns what the field number of b holds, nil where there is none. The
// parts of a message that came in several are one.
func field(b []byte, number protowire.Number) (value []byte, ok bool) {
	for ok = true; ok && len(b) > 0; {
		var n protowire.Number
		var part []byte
		if n, part, _, b, ok = next(b); ok && n == number {
			value = join(value, part)
		}
	}
	return value, ok
}

func join(a, b []byte) []byte {
	if len(a) == 0 {
		return b
	}
	return append(a[:len(a):len(a)], b...)
}

// next reads the first field of b: its number, and its bytes or its integer.
func next(b []byte) (number protowire.Number, value []byte, n uint64, rest []byte, ok bool) {
	number, kind, size := protowire.ConsumeTag(b)
	if size < 0 {
		return 0, nil, 0, nil, false
	}
	b = b[size:]
	switch kind {
	case protowire.BytesType:
		value, size = protowire.ConsumeBytes(b)
	case protowire.VarintType:
		n, size = protowire.ConsumeVarint(b)
	default:
		size = protowire.ConsumeFieldValue(number, kind, b)
	}
	if size < 0 {
		return 0, nil, 0, nil, false
	}
	return number, value, n, b[size:], true
}
