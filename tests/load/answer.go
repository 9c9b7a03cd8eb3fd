package main

import (
	"errors"
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Field numbers of CheckResponse, and of google.rpc.Status in it.
const (
	fieldStatus         = 1
	fieldDeniedResponse = 2
	fieldOKResponse     = 3
	fieldMetadata       = 4
	fieldErrorResponse  = 5
	fieldCode           = 1
)

var (
	errNotOK      = errors.New("the answer is not an OK")
	errNotRefused = errors.New("the answer is not a refusal")
)

// quickCheck reports whether message is a CheckResponse that says OK: it walks
// the top level only and allocates nothing. A field that it does not expect,
// denied_response and error_response among them, is not OK.
func quickCheck(message []byte) error {
	var allowed bool
	known := topFields(message, func(number protowire.Number, value []byte) bool {
		allowed = allowed || number == fieldOKResponse
		return number == fieldOKResponse || number == fieldMetadata || number == fieldStatus && isZeroStatus(value)
	})
	if !known || !allowed {
		return errNotOK
	}
	return nil
}

// topFields calls each with the fields of message, of its top level alone, until
// one is not as each expects, and reports whether all were. A CheckResponse has
// none but bytes.
func topFields(message []byte, each func(number protowire.Number, value []byte) bool) bool {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 || kind != protowire.BytesType {
			return false
		}
		value, m := protowire.ConsumeBytes(message[n:])
		if m < 0 || !each(number, value) {
			return false
		}
		message = message[n+m:]
	}
	return true
}

// quickRefusal is quickCheck for a CheckResponse that refuses: what it says to the
// client, a status that is not OK, metadata, and nothing else.
func quickRefusal(message []byte) error {
	var refused, status bool
	known := topFields(message, func(number protowire.Number, value []byte) bool {
		refused = refused || number == fieldDeniedResponse
		status = status || number == fieldStatus && !isZeroStatus(value)
		return number == fieldDeniedResponse || number == fieldStatus || number == fieldMetadata
	})
	if !known || !refused || !status {
		return errNotRefused
	}
	return nil
}

// fullRefusal decodes message with the generated types, and demands that it
// refuses a caller whom nobody knows.
func fullRefusal(message []byte) error {
	var r authv3.CheckResponse
	if err := proto.Unmarshal(message, &r); err != nil {
		return fmt.Errorf("decode the answer: %w", err)
	}
	if got := r.GetDeniedResponse().GetStatus().GetCode(); got != typev3.StatusCode_Unauthorized {
		return fmt.Errorf("%w by 401 but by %d", errNotRefused, got)
	}
	return nil
}

// isZeroStatus reports whether the encoded google.rpc.Status has the code 0,
// which may be written or absent, and nothing else.
func isZeroStatus(status []byte) bool {
	if len(status) == 0 {
		return true
	}
	number, _, n := protowire.ConsumeTag(status)
	if n < 0 || number != fieldCode {
		return false
	}
	code, m := protowire.ConsumeVarint(status[n:])
	return m > 0 && code == 0 && n+m == len(status)
}

// fullCheck decodes message with the generated types. Where whole is set it
// demands what only a whole decision carries: the identity for the upstream,
// the quota for the client, and the metadata.
func fullCheck(message []byte, whole bool) error {
	var r authv3.CheckResponse
	if err := proto.Unmarshal(message, &r); err != nil {
		return fmt.Errorf("decode the answer: %w", err)
	}
	if r.GetStatus().GetCode() != 0 || r.GetOkResponse() == nil {
		return errNotOK
	}
	if !whole {
		return nil
	}
	for _, name := range []string{"x-sallyport-tenant", "x-sallyport-credential", "x-sallyport-scopes", "x-sallyport-plan"} {
		if header(r.GetOkResponse().GetHeaders(), name) == "" {
			return fmt.Errorf("the answer lacks the header %s for the upstream", name)
		}
	}
	for _, name := range []string{"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"} {
		if header(r.GetOkResponse().GetResponseHeadersToAdd(), name) == "" {
			return fmt.Errorf("the answer lacks the header %s for the client", name)
		}
	}
	for _, name := range []string{"api", "tenant", "credential", "plan", "operation", "limits"} {
		if r.GetDynamicMetadata().GetFields()[name].GetStringValue() == "" {
			return fmt.Errorf("the answer lacks %q in its metadata", name)
		}
	}
	return nil
}

func header(options []*corev3.HeaderValueOption, name string) string {
	for _, o := range options {
		if strings.EqualFold(o.GetHeader().GetKey(), name) {
			if value := o.GetHeader().GetValue(); value != "" {
				return value
			}
			return string(o.GetHeader().GetRawValue())
		}
	}
	return ""
}
