package envoy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
)

// route is one entry of an API's virtual host.
type route struct {
	Name    string
	Methods string // regular expression; "" for any
	Path    string // exact path, or
	Regex   string // a regular expression on the whole path
	Cluster string
	Timeout time.Duration
	Remove  []string // headers of the answers that would pass for ours
	Body    int64    // of a webhook: so many bytes of the body are shown to Check; else none

	segments []segment
}

// segment is one part of a path template, between two slashes.
type segment struct {
	literal string
	kind    segmentKind
}

// segmentKind is in order of precedence: the more a segment says, the earlier
// its route stands.
type segmentKind uint8

const (
	literal   segmentKind = iota
	parameter             // {name}: one segment
	rest                  // {name...}: all that follows
)

// routes returns those routes that the catch-all does not cover: operations
// that we serve ourselves, webhooks, and the upstream's operations that the
// template of one of those would take from it. The more specific stand first.
func routes(operations []*sallyport.Operation, upstream string) ([]route, error) {
	var all, special []route
	for _, op := range operations {
		r, err := operationRoute(op, upstream)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
		if r.special() {
			special = append(special, r)
		}
	}
	var wanted []route
	for _, r := range all {
		if r.special() || slices.ContainsFunc(special, r.overlaps) {
			wanted = append(wanted, r)
		}
	}
	slices.SortStableFunc(wanted, moreSpecific)
	return wanted, nil
}

// Buffer is how much of a webhook's body Envoy must be able to keep: what Check is
// shown, and what comes with its last byte at once.
func (r route) Buffer() int64 { return r.Body + readAhead }

const readAhead = 1 << 20 // what one connection's buffer holds

// special reports whether the catch-all would not do for r.
func (r route) special() bool { return r.Cluster == clusterHTTP || r.Body > 0 }

func operationRoute(op *sallyport.Operation, upstream string) (route, error) {
	r := route{Name: op.Name, Methods: methods(op.Method), Cluster: upstream}
	if r.Name == "" {
		r.Name = op.Method + " " + op.Path
	}
	if op.Serve != "" {
		r.Cluster = clusterHTTP
	}
	if op.Webhook != nil {
		r.Body = op.Webhook.MaxBody + 1
	}
	var err error
	if r.segments, err = segments(op.Path); err != nil {
		return r, err
	}
	if slices.ContainsFunc(r.segments, func(s segment) bool { return s.kind != literal }) {
		r.Regex = expression(r.segments)
	} else {
		r.Path = op.Path
	}
	return r, nil
}

// methods is the expression of the methods that an operation answers: HEAD
// follows GET.
func methods(method string) string {
	if method == "GET" {
		return "GET|HEAD"
	}
	return regexp.QuoteMeta(method)
}

// segments splits a path template.
func segments(path string) ([]segment, error) {
	tail, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil, fmt.Errorf("path %q does not begin with a slash", path)
	}
	var list []segment
	for part := range strings.SplitSeq(tail, "/") {
		s := segment{literal: part}
		if strings.HasPrefix(part, "{") && strings.HasSuffix(part, "}") {
			s = segment{kind: parameter}
			if strings.HasSuffix(part, "...}") {
				s.kind = rest
			}
		}
		list = append(list, s)
	}
	return list, nil
}

func expression(list []segment) string {
	var b strings.Builder
	for _, s := range list {
		b.WriteByte('/')
		switch s.kind {
		case literal:
			b.WriteString(regexp.QuoteMeta(s.literal))
		case parameter:
			b.WriteString("[^/]+")
		case rest:
			b.WriteString(".+")
		}
	}
	return b.String()
}

// overlaps reports whether some path matches both r and other.
func (r route) overlaps(other route) bool {
	for i := 0; ; i++ {
		if i == len(r.segments) || i == len(other.segments) {
			return len(r.segments) == len(other.segments)
		}
		a, b := r.segments[i], other.segments[i]
		if a.kind == rest || b.kind == rest {
			return true
		}
		if a.kind == literal && b.kind == literal && a.literal != b.literal {
			return false
		}
	}
}

// moreSpecific orders routes so that the first that matches is the one meant.
func moreSpecific(a, b route) int {
	for i := range min(len(a.segments), len(b.segments)) {
		if d := int(a.segments[i].kind) - int(b.segments[i].kind); d != 0 {
			return d
		}
		if d := strings.Compare(a.segments[i].literal, b.segments[i].literal); d != 0 {
			return d
		}
	}
	if d := len(a.segments) - len(b.segments); d != 0 {
		return d
	}
	return strings.Compare(a.Methods, b.Methods)
}
