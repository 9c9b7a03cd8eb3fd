package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// step is one request of a requests.http file and the answer that it must get.
//
//	# V1: a comment, which names what is proved
//	GET /v1/devices              a request line: method, path or URL
//	X-API-Key: {{free.read}}     headers; {{…}} is a name of names
//	X-Signature: hmac-sha256(k)  the body's HMAC-SHA-256 under k, in hexadecimal
//
//	{"a": 1}                     a body, after an empty line, if it begins with {
//	> a=1&b=2                    or one of a form
//
//	HTTP 200                     the status
//	X-RateLimit-Limit: 60        a header, exactly once, with this value
//	! X-API-Key                  a header that is not there
//	{"method": "GET"}            the body holds this much
//	= {"error": {…}}             the body is this
//	@ mine = key                 {{mine}} is from now on what the body has as key
//
// A * at the end of a value that is wanted stands for anything. ADMIN before the
// method sends the request to the admin API, as an administrator.
//
// Steps are separated by a line of three dashes, and run in order.
type step struct {
	line    int
	comment string
	admin   bool
	method  string
	path    string
	headers []string
	body    string
	status  int
	want    []string // header lines
	absent  []string
	holds   string
	equals  string
	keep    [][2]string // name, field
}

// parseSteps reads a requests.http file.
func parseSteps(text string) (steps []step, err error) {
	s := step{}
	flush := func() {
		if s.method != "" {
			steps = append(steps, s)
		}
		s = step{}
	}
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "---":
			flush()
		case strings.HasPrefix(line, "#"):
			s.comment += strings.TrimSpace(line[1:]) + " "
		case trimmed == "":
		case s.method == "":
			s.line = i + 1
			trimmed, s.admin = strings.CutPrefix(trimmed, "ADMIN ")
			var ok bool
			if s.method, s.path, ok = strings.Cut(trimmed, " "); !ok {
				return nil, fmt.Errorf("line %d: want METHOD PATH", i+1)
			}
		case s.status == 0 && strings.HasPrefix(line, "HTTP "):
			if s.status, err = strconv.Atoi(trimmed[5:]); err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
		case s.status == 0 && strings.HasPrefix(line, "> "):
			s.body += trimmed[2:]
			s.headers = append(s.headers, "Content-Type: application/x-www-form-urlencoded")
		case s.status == 0 && (s.body != "" || strings.HasPrefix(line, "{")):
			s.body += line
		case s.status == 0:
			s.headers = append(s.headers, trimmed)
		case strings.HasPrefix(line, "@ "):
			name, from, ok := strings.Cut(line[2:], " = ")
			if !ok {
				return nil, fmt.Errorf("line %d: want @ NAME = FIELD", i+1)
			}
			s.keep = append(s.keep, [2]string{"{{" + name + "}}", from})
		case strings.HasPrefix(line, "= "):
			s.equals = line[2:]
		case s.equals != "":
			s.equals += line
		case s.holds != "" || strings.HasPrefix(line, "{"):
			s.holds += line
		case strings.HasPrefix(line, "! "):
			s.absent = append(s.absent, line[2:])
		default:
			s.want = append(s.want, trimmed)
		}
	}
	flush()
	return steps, nil
}

// names are what {{…}} stands for.
type names []string

func (n names) Replace(s string) string { return strings.NewReplacer(n...).Replace(s) }

// names returns the keys, the client and the sender of webhooks of each tenant by
// its plan, and the tenant's id.
func (d *demo) names(api string) (pairs names) {
	for _, t := range d.APIs[api].Tenants {
		plan := t.Plan
		if plan == "" {
			plan = "default"
		}
		pairs = append(pairs, "{{"+plan+".id}}", t.ID)
		for i, name := range []string{"all", "read", "read2"} {
			pairs = append(pairs, "{{"+plan+"."+name+"}}", t.Keys[i].Key, "{{"+plan+"."+name+".id}}", t.Keys[i].KeyID)
		}
		for _, s := range t.Senders {
			pairs = append(pairs, "{{"+plan+".sender}}", s.ID, "{{"+plan+".sender.secret}}", s.Secret)
		}
		for _, c := range t.Clients {
			pairs = append(pairs, "{{"+plan+".client}}", c.ClientID, "{{"+plan+".client.secret}}", c.Secret)
		}
	}
	return pairs
}

// runSteps runs the requests of an example against d.
func (d *demo) runSteps(t *testing.T, api string) {
	t.Helper()
	file := "../../examples/" + api + "/requests.http"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := parseSteps(string(text))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(steps) == 0 {
		t.Fatalf("%s holds no request", file)
	}
	names := d.names(api)
	for _, s := range steps {
		t.Run(fmt.Sprintf("%s:%d", api, s.line), func(t *testing.T) { d.runStep(t, api, s, &names) })
	}
}

func (d *demo) runStep(t *testing.T, api string, s step, names *names) {
	url := names.Replace(s.path)
	var lines []string
	switch {
	case s.admin:
		url = d.Admin.URL + url
		lines = append(lines, "Authorization: Bearer "+d.Admin.Token)
		if s.body != "" {
			lines = append(lines, "Content-Type: application/json")
		}
	case strings.HasPrefix(url, "/"):
		url = d.APIs[api].URL + url
	}
	body := names.Replace(s.body)
	for _, h := range s.headers {
		lines = append(lines, signed(names.Replace(h), body))
	}
	a, err := d.try(s.method, url, body, lines...)
	if err != nil {
		t.Fatal(err)
	}
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s\n%s %s: %s\ngot %d %v\n%s", s.comment, s.method, s.path, fmt.Sprintf(format, args...), a.status, a.header, a.body)
	}
	if a.status != s.status {
		fail("want status %d", s.status)
	}
	for _, line := range s.want {
		name, want, _ := strings.Cut(names.Replace(line), ": ")
		got := a.header.Values(name)
		if len(got) != 1 || !matches(want, got[0]) {
			fail("%s is %q, want exactly one %q", name, got, want)
		}
	}
	for _, name := range s.absent {
		if got := a.header.Values(name); len(got) > 0 {
			fail("%s is %q, want none", name, got)
		}
	}
	for _, pattern := range []struct {
		text  string
		whole bool
	}{{s.holds, false}, {s.equals, true}} {
		if pattern.text == "" {
			continue
		}
		var want, got any
		if err := json.Unmarshal([]byte(names.Replace(pattern.text)), &want); err != nil {
			t.Fatalf("the wanted body is not JSON: %v\n%s", err, pattern.text)
		}
		if err := json.Unmarshal([]byte(a.body), &got); err != nil {
			fail("the body is not JSON: %v", err)
		} else if where := differs(want, got, pattern.whole, "body"); where != "" {
			fail("%s", where)
		}
	}
	for _, keep := range s.keep {
		value, ok := a.json(t)[keep[1]].(string)
		if !ok {
			fail("the body has no text called %s", keep[1])
		}
		*names = append([]string{keep[0], value}, *names...) // of two of a name the last counts
	}
}

var toSign = regexp.MustCompile(`hmac-sha256\((.*)\)`)

// signed is line with the signature of body in the place of the secret that it
// names.
func signed(line, body string) string {
	return toSign.ReplaceAllStringFunc(line, func(found string) string {
		return hmacOf(toSign.FindStringSubmatch(found)[1], body)
	})
}

// hmacOf is the HMAC-SHA-256 of text under secret, in hexadecimal.
func hmacOf(secret, text string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

// matches reports whether got is want, or begins with what stands before its
// final *.
func matches(want, got string) bool {
	head, open := strings.CutSuffix(want, "*")
	return want == got || open && strings.HasPrefix(got, head)
}

// differs says where got is not what want says; "" where it is. Unless whole,
// got may hold more.
func differs(want, got any, whole bool, at string) string {
	switch want := want.(type) {
	case string:
		if want == "*" && got != nil {
			return ""
		}
		if text, ok := got.(string); ok && matches(want, text) {
			return ""
		}
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Sprintf("%s is %v, want a list of %d", at, got, len(want))
		}
		for i := range want {
			if where := differs(want[i], list[i], whole, fmt.Sprintf("%s[%d]", at, i)); where != "" {
				return where
			}
		}
		return ""
	case map[string]any:
		tree, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v, want an object", at, got)
		}
		for k, w := range want {
			g, there := tree[k]
			if !there && w != nil {
				return fmt.Sprintf("%s has no %s", at, k)
			}
			if where := differs(w, g, whole, at+"."+k); where != "" {
				return where
			}
		}
		for k := range tree {
			if _, there := want[k]; !there && whole {
				return fmt.Sprintf("%s has %s, which is not wanted", at, k)
			}
		}
		return ""
	}
	if !reflect.DeepEqual(want, got) {
		return fmt.Sprintf("%s is %v, want %v", at, got, want)
	}
	return ""
}

// Every example passes its own requests, on both chains with the same answers,
// all of them on one server.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/requests.http")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %v, %v; want five examples", files, err)
	}
	for _, chain := range chains {
		for _, file := range files {
			name := filepath.Base(filepath.Dir(file))
			t.Run(name+" "+chain, func(t *testing.T) { running(t, "", chain).runSteps(t, name) })
		}
	}
}
