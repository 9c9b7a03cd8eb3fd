package extauthz

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport"
)

// FuzzDecodeCheck: for any bytes decodeCheck errs where proto.Unmarshal errs
// (or where there are more than maxLines header lines), and else reads the
// request that the generated message holds.
func FuzzDecodeCheck(f *testing.F) {
	for _, msg := range strange() {
		f.Add(msg)
	}
	for _, raw := range []bool{false, true} {
		msg := marshal(f, ordinary(raw))
		f.Add(msg)
		f.Add(msg[:len(msg)/2])
	}
	f.Add(marshal(f, full()))
	f.Fuzz(func(t *testing.T, msg []byte) { checkDecode(t, msg) })
}

// FuzzReply: any reply is written as bytes that protobuf reads as the answer
// that the generated types would carry.
func FuzzReply(f *testing.F) {
	f.Add(true, false, 0, uint32(60), "MINUTE", []byte(nil), "x-tenant=acme\nx-plan=free")
	f.Add(false, false, 401, uint32(0), "", []byte(`{"error": "no"}`), "content-type=application/json")
	f.Add(false, true, 503, uint32(0), "", []byte("\xff\x00"), "\xff=\r\x7f\n=")
	f.Fuzz(func(t *testing.T, allowed, failure bool, status int, requests uint32, unit string, body []byte, lines string) {
		r := reply{Allowed: allowed, Failure: failure, Status: status, Body: body, Limit: rateOverride{Requests: requests, Unit: unit}}
		for i, line := range strings.Split(lines, "\n") {
			name, value, _ := strings.Cut(line, "=")
			h := sallyport.Header{Name: name, Value: value}
			switch i % 3 {
			case 0:
				r.Set, r.Remove = append(r.Set, h), append(r.Remove, value)
			case 1:
				r.Response, r.RemoveQuery = append(r.Response, h), append(r.RemoveQuery, name)
			case 2:
				r.Metadata = append(r.Metadata, h)
			}
		}
		checkEncode(t, &r)
	})
}
