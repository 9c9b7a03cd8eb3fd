// Package requests reads the requests.http files of the examples and holds a gate
// to them, whichever proxy it is behind: what an API's documentation promises is
// written once, in the reader's own terms. It is for the tests outside and costs
// what the requests do.
package requests

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Step is one request of a requests.http file and the answer that it must get.
//
//	# V1: a comment, which names what is proved
//	GET /v1/devices              a request line: method, path or URL
//	X-API-Key: {{free.read}}     headers; {{…}} is a name of Names
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
type Step struct {
	Line    int
	Comment string
	Admin   bool
	Method  string
	Path    string
	Headers []string
	Body    string
	Status  int
	Want    []string // header lines
	Absent  []string
	Holds   string
	Equals  string
	Keep    [][2]string // name, field
}

// Parse reads a requests.http file.
func Parse(text string) (steps []Step, err error) {
	s := Step{}
	flush := func() {
		if s.Method != "" {
			steps = append(steps, s)
		}
		s = Step{}
	}
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "---":
			flush()
		case strings.HasPrefix(line, "#"):
			s.Comment += strings.TrimSpace(line[1:]) + " "
		case trimmed == "":
		case s.Method == "":
			s.Line = i + 1
			trimmed, s.Admin = strings.CutPrefix(trimmed, "ADMIN ")
			var ok bool
			if s.Method, s.Path, ok = strings.Cut(trimmed, " "); !ok {
				return nil, fmt.Errorf("line %d: want METHOD PATH", i+1)
			}
		case s.Status == 0 && strings.HasPrefix(line, "HTTP "):
			if s.Status, err = strconv.Atoi(trimmed[5:]); err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
		case s.Status == 0 && strings.HasPrefix(line, "> "):
			s.Body += trimmed[2:]
			s.Headers = append(s.Headers, "Content-Type: application/x-www-form-urlencoded")
		case s.Status == 0 && (s.Body != "" || strings.HasPrefix(line, "{")):
			s.Body += line
		case s.Status == 0:
			s.Headers = append(s.Headers, trimmed)
		case strings.HasPrefix(line, "@ "):
			name, from, ok := strings.Cut(line[2:], " = ")
			if !ok {
				return nil, fmt.Errorf("line %d: want @ NAME = FIELD", i+1)
			}
			s.Keep = append(s.Keep, [2]string{"{{" + name + "}}", from})
		case strings.HasPrefix(line, "= "):
			s.Equals = line[2:]
		case s.Equals != "":
			s.Equals += line
		case s.Holds != "" || strings.HasPrefix(line, "{"):
			s.Holds += line
		case strings.HasPrefix(line, "! "):
			s.Absent = append(s.Absent, line[2:])
		default:
			s.Want = append(s.Want, trimmed)
		}
	}
	flush()
	return steps, nil
}

// Names are what {{…}} stands for: pairs of both. Of two for a name the first counts.
type Names []string

// Replace returns s with all names replaced.
func (n Names) Replace(s string) string { return strings.NewReplacer(n...).Replace(s) }

// Gate is what is held to a file.
type Gate struct {
	Client *http.Client
	URL    string // of the API, without a path

	AdminURL, AdminToken string

	// Broken says, by line of the file, why a step's answer cannot be had here. It is
	// an error when it is had.
	Broken map[int]string
}

// Run sends the requests of file to g, in order, and compares the answers.
func Run(t *testing.T, file string, g Gate, names Names) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Parse(string(text))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(steps) == 0 {
		t.Fatalf("%s holds no request", file)
	}
	met := 0
	for _, s := range steps {
		why, broken := g.Broken[s.Line]
		t.Run(fmt.Sprint("line ", s.Line), func(t *testing.T) {
			faults := g.run(t, s, &names)
			switch {
			case broken && len(faults) == 0:
				t.Errorf("%s\nholds here, and is listed as what does not: %s", s.Comment, why)
			case !broken && len(faults) > 0:
				t.Errorf("%s\n%s %s: %s", s.Comment, s.Method, s.Path, strings.Join(faults, "\n"))
			}
		})
		if broken {
			met++
		}
	}
	if met != len(g.Broken) {
		t.Errorf("%s: %d of the lines that cannot hold begin a request: %v", file, met, g.Broken)
	}
}

// run sends one request and returns what is wrong with the answer.
func (g Gate) run(t *testing.T, s Step, names *Names) (faults []string) {
	t.Helper()
	status, header, text := g.send(t, s, *names)
	fail := func(format string, args ...any) {
		faults = append(faults, fmt.Sprintf("%s\ngot %d %v\n%s", fmt.Sprintf(format, args...), status, header, text))
	}
	if status != s.Status {
		fail("want status %d", s.Status)
	}
	for _, line := range s.Want {
		name, want, _ := strings.Cut(names.Replace(line), ": ")
		got := header.Values(name)
		if len(got) != 1 || !matches(want, got[0]) {
			fail("%s is %q, want exactly one %q", name, got, want)
		}
	}
	for _, name := range s.Absent {
		if got := header.Values(name); len(got) > 0 {
			fail("%s is %q, want none", name, got)
		}
	}
	for _, pattern := range []struct {
		text  string
		whole bool
	}{{s.Holds, false}, {s.Equals, true}} {
		if pattern.text == "" {
			continue
		}
		var want, got any
		if err := json.Unmarshal([]byte(names.Replace(pattern.text)), &want); err != nil {
			t.Fatalf("the wanted body is not JSON: %v\n%s", err, pattern.text)
		}
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			fail("the body is not JSON: %v", err)
		} else if where := differs(want, got, pattern.whole, "body"); where != "" {
			fail("%s", where)
		}
	}
	for _, keep := range s.Keep {
		var tree map[string]any
		_ = json.Unmarshal([]byte(text), &tree) // what is not there is told in a moment
		value, ok := tree[keep[1]].(string)
		if !ok {
			fail("the body has no text called %s", keep[1])
		}
		*names = append(Names{keep[0], value}, *names...)
	}
	return faults
}

// send sends the request of s and reads the answer.
func (g Gate) send(t *testing.T, s Step, names Names) (status int, header http.Header, text string) {
	t.Helper()
	url := names.Replace(s.Path)
	body := names.Replace(s.Body)
	switch {
	case s.Admin:
		url = g.AdminURL + url
	case strings.HasPrefix(url, "/"):
		url = g.URL + url
	}
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	req, err := http.NewRequest(s.Method, url, content)
	if err != nil {
		t.Fatal(err)
	}
	if s.Admin {
		req.Header.Set("Authorization", "Bearer "+g.AdminToken)
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
	}
	for _, line := range s.Headers {
		name, value, _ := strings.Cut(signed(names.Replace(line), body), ": ")
		if strings.EqualFold(name, "host") {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	resp, err := g.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(all)
}

var toSign = regexp.MustCompile(`hmac-sha256\((.*)\)`)

// signed is line with the signature of body in the place of the secret that it
// names.
func signed(line, body string) string {
	return toSign.ReplaceAllStringFunc(line, func(found string) string {
		return HMAC(toSign.FindStringSubmatch(found)[1], body)
	})
}

// HMAC is the HMAC-SHA-256 of text under secret, in hexadecimal.
func HMAC(secret, text string) string {
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
