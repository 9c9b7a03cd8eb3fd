package webhook_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/webhook"
)

var noon = time.Unix(1_700_006_400, 0)

const good = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

// signed is a request with a body and its length, and pairs of headers besides.
func signed(body string, headers ...string) *sallyport.Request {
	r := &sallyport.Request{Body: body, Size: int64(len(body))}
	headers = append([]string{"content-length", strconv.Itoa(len(body))}, headers...)
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, sallyport.Header{Name: headers[i], Value: headers[i+1]})
	}
	return r
}

// V9: what is not plainly one signature is refused before anybody is asked whose
// it could be.
func TestWhatASignatureLooksLike(t *testing.T) {
	w := &sallyport.Webhook{Header: "x-signature", MaxBody: 100}
	github := &sallyport.Webhook{Header: "x-signature", Prefix: "sha256=", MaxBody: 100}
	for name, c := range map[string]struct {
		w    *sallyport.Webhook
		req  *sallyport.Request
		want sallyport.Reason
	}{
		"good":                   {w, signed("a", "x-signature", good), sallyport.Allowed},
		"in upper case":          {w, signed("a", "x-signature", strings.ToUpper(good)), sallyport.Allowed},
		"with spaces around":     {w, signed("a", "x-signature", " "+good+"\t"), sallyport.Allowed},
		"none":                   {w, signed("a"), sallyport.SignatureMissing},
		"in another header":      {w, signed("a", "x_signature", good), sallyport.SignatureMissing},
		"empty":                  {w, signed("a", "x-signature", ""), sallyport.SignatureMalformed},
		"twice":                  {w, signed("a", "x-signature", good, "x-signature", good), sallyport.SignatureMalformed},
		"joined by a comma":      {w, signed("a", "x-signature", good+","+good), sallyport.SignatureMalformed},
		"a digit too few":        {w, signed("a", "x-signature", good[1:]), sallyport.SignatureMalformed},
		"a digit too many":       {w, signed("a", "x-signature", good+"0"), sallyport.SignatureMalformed},
		"not hexadecimal":        {w, signed("a", "x-signature", "g"+good[1:]), sallyport.SignatureMalformed},
		"a megabyte":             {w, signed("a", "x-signature", strings.Repeat("a", 1<<20)), sallyport.SignatureMalformed},
		"an unwanted prefix":     {w, signed("a", "x-signature", "sha256="+good), sallyport.SignatureMalformed},
		"the prefix":             {github, signed("a", "x-signature", "sha256="+good), sallyport.Allowed},
		"no prefix":              {github, signed("a", "x-signature", good), sallyport.SignatureMalformed},
		"another prefix":         {github, signed("a", "x-signature", "sha1="+good), sallyport.SignatureMalformed},
		"the prefix in capitals": {github, signed("a", "x-signature", "SHA256="+good), sallyport.SignatureMalformed},
		"the prefix alone":       {github, signed("a", "x-signature", "sha256="), sallyport.SignatureMalformed},
	} {
		s, why := webhook.Read(c.w, c.req, noon)
		if why != c.want {
			t.Errorf("%s: got %v, want %v", name, why, c.want)
		}
		if why == sallyport.Allowed && (webhook.Write(w, s.MAC) != good || s.Body != "a" || s.Stamp != "") {
			t.Errorf("%s: read %+v", name, s)
		}
	}
}

// V9: a body that is not all there is refused, whoever cut it.
func TestTheBodyIsWhole(t *testing.T) {
	w := &sallyport.Webhook{Header: "x-signature", MaxBody: 10}
	of := func(body string, size int64, headers ...string) *sallyport.Request {
		r := signed(body, append(headers, "x-signature", good)...)
		r.Headers, r.Size = r.Headers[1:], size
		return r
	}
	long := strings.Repeat("x", 11)
	for name, c := range map[string]struct {
		req  *sallyport.Request
		want sallyport.Reason
	}{
		"as long as it may be":                {signed(long[1:], "x-signature", good), sallyport.Allowed},
		"one byte longer":                     {signed(long, "x-signature", good), sallyport.BodyTooLarge},
		"longer, of no known length":          {of(long, -1), sallyport.BodyTooLarge},
		"chunked":                             {of("abc", 3, "transfer-encoding", "chunked"), sallyport.Allowed},
		"of no known size":                    {of("abc", -1), sallyport.Allowed},
		"the proxy counted nothing":           {of("abc", 0), sallyport.Allowed},
		"cut by its size":                     {of("abc", 4), sallyport.BodyTooLarge},
		"cut by its length":                   {of("abc", 3, "content-length", "4"), sallyport.BodyTooLarge},
		"far longer by its length":            {of("abc", 3, "content-length", "10000000"), sallyport.BodyTooLarge},
		"cut, says the proxy":                 {of("abc", 3, "x-envoy-auth-partial-body", "true"), sallyport.BodyTooLarge},
		"cut, beside the client's word":       {of("abc", 3, "x-envoy-auth-partial-body", "false", "x-envoy-auth-partial-body", "true"), sallyport.BodyTooLarge},
		"whole, says the proxy":               {of("abc", 3, "x-envoy-auth-partial-body", "false"), sallyport.Allowed},
		"two lengths":                         {of("abc", 3, "content-length", "3", "content-length", "3"), sallyport.BodyTooLarge},
		"a length that is none":               {of("abc", 3, "content-length", "+3"), sallyport.BodyTooLarge},
		"empty":                               {signed("", "x-signature", good), sallyport.Allowed},
		"empty, of no known size":             {of("", -1, "content-length", "0"), sallyport.Allowed},
		"not shown":                           {of("", 3), sallyport.BodyUnsent},
		"not shown, by its length":            {of("", 0, "content-length", "3"), sallyport.BodyUnsent},
		"not shown, or empty: chunked":        {of("", 0, "transfer-encoding", "chunked"), sallyport.BodyUnsent},
		"not shown, or empty: no length":      {of("", 0), sallyport.BodyUnsent},
		"not shown, with an empty one's word": {of("", 3, "content-length", "0"), sallyport.BodyUnsent},
	} {
		if _, why := webhook.Read(w, c.req, noon); why != c.want {
			t.Errorf("%s: got %v, want %v", name, why, c.want)
		}
	}
}

func TestTimestamps(t *testing.T) {
	w := &sallyport.Webhook{Header: "x-signature", MaxBody: 10,
		Timestamp: sallyport.WebhookTimestamp{Header: "x-time", Tolerance: 5 * time.Minute, Signed: true}}
	at := func(d time.Duration) string { return strconv.FormatInt(noon.Add(d).Unix(), 10) }
	for name, c := range map[string]struct {
		headers []string
		want    sallyport.Reason
	}{
		"now":                  {[]string{"x-time", at(0)}, sallyport.Allowed},
		"with spaces around":   {[]string{"x-time", " " + at(0) + " "}, sallyport.Allowed},
		"just young enough":    {[]string{"x-time", at(-5 * time.Minute)}, sallyport.Allowed},
		"a second too old":     {[]string{"x-time", at(-5*time.Minute - time.Second)}, sallyport.SignatureExpired},
		"just not too early":   {[]string{"x-time", at(5 * time.Minute)}, sallyport.Allowed},
		"a second too early":   {[]string{"x-time", at(5*time.Minute + time.Second)}, sallyport.SignatureExpired},
		"in milliseconds":      {[]string{"x-time", at(0) + "000"}, sallyport.SignatureMalformed},
		"none":                 {nil, sallyport.SignatureMissing},
		"twice":                {[]string{"x-time", at(0), "x-time", at(0)}, sallyport.SignatureMalformed},
		"empty":                {[]string{"x-time", ""}, sallyport.SignatureMalformed},
		"negative":             {[]string{"x-time", "-" + at(0)}, sallyport.SignatureMalformed},
		"with a sign":          {[]string{"x-time", "+" + at(0)}, sallyport.SignatureMalformed},
		"with a fraction":      {[]string{"x-time", at(0) + ".5"}, sallyport.SignatureMalformed},
		"a date":               {[]string{"x-time", noon.Format(time.RFC3339)}, sallyport.SignatureMalformed},
		"in other digits":      {[]string{"x-time", "١٧٠٠٠٠٦٤٠٠"}, sallyport.SignatureMalformed},
		"long ago":             {[]string{"x-time", "0"}, sallyport.SignatureExpired},
		"as late as it can be": {[]string{"x-time", "999999999999"}, sallyport.SignatureExpired},
	} {
		s, why := webhook.Read(w, signed("{}", append(c.headers, "x-signature", good)...), noon)
		if why != c.want || why == sallyport.Allowed && s.Stamp != strings.TrimSpace(c.headers[1]) {
			t.Errorf("%s: got %v with timestamp %q, want %v", name, why, s.Stamp, c.want)
		}
	}
	w.Timestamp.Signed = false
	if s, why := webhook.Read(w, signed("{}", "x-time", at(0), "x-signature", good), noon); why != sallyport.Allowed || s.Stamp != "" {
		t.Errorf("signed apart from the body: got %v, %q", why, s.Stamp)
	}
}

// FuzzRead holds that no input panics, and that what is let through is whole.
func FuzzRead(f *testing.F) {
	f.Add(good, "1700006400", "body", int64(4), "4", "false")
	f.Add(good, "", "", int64(-1), "0", "")
	f.Fuzz(func(t *testing.T, signature, stamp, body string, size int64, length, partial string) {
		w := &sallyport.Webhook{Header: "s", MaxBody: 8, Timestamp: sallyport.WebhookTimestamp{Header: "t", Tolerance: time.Minute, Signed: true}}
		req := &sallyport.Request{Body: body, Size: size, Headers: []sallyport.Header{
			{Name: "s", Value: signature}, {Name: "t", Value: stamp}, {Name: "content-length", Value: length}, {Name: "x-envoy-auth-partial-body", Value: partial}}}
		s, why := webhook.Read(w, req, noon)
		if why != sallyport.Allowed {
			return
		}
		n, err := strconv.Atoi(length)
		if err != nil || n > len(body) || size > int64(len(body)) || len(body) > 8 || partial != "false" || s.Body != body {
			t.Errorf("%q of size %d and length %s passes (%s)", body, size, length, partial)
		}
		if at, ok := webhook.ParseTime(s.Stamp); !ok || at.Sub(noon).Abs() > time.Minute {
			t.Errorf("the timestamp %q passes", s.Stamp)
		}
	})
}
