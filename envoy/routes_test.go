package envoy

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sallyport/sallyport"
)

func TestRoutesStandTheMoreSpecificFirst(t *testing.T) {
	operations := func(lines ...string) (list []*sallyport.Operation) {
		for _, line := range lines {
			method, path, _ := strings.Cut(line, " ")
			path, ours := strings.CutSuffix(path, " ours")
			path, hook := strings.CutSuffix(path, " hook")
			op := &sallyport.Operation{Method: method, Path: path}
			if hook {
				op.Webhook = &sallyport.Webhook{MaxBody: 999}
			}
			if ours {
				op.Serve = "api_keys"
			}
			list = append(list, op)
		}
		return list
	}
	for name, c := range map[string]struct{ operations, want []string }{
		"nothing of ours, nothing to say": {[]string{"GET /a", "GET /b/{id}"}, nil},
		"only what overlaps": {
			[]string{"GET /k/{id} ours", "GET /k/all", "GET /k", "GET /k/all/x", "GET /x/all"},
			[]string{"GET /k/all up", "GET /k/{id} ours"}},
		"a rest takes all below": {
			[]string{"GET /k/{all...} ours", "GET /k/a/b", "GET /k/{id}", "POST /z"},
			[]string{"GET /k/a/b up", "GET /k/{id} up", "GET /k/{all...} ours"}},
		"one path, two methods": {
			[]string{"POST /k ours", "GET /k ours", "DELETE /k"},
			[]string{"DELETE /k up", "GET /k ours", "POST /k ours"}},
		"a webhook, and what it would take": {
			[]string{"POST /h/{from} hook", "PUT /h/{id}", "POST /h/all", "POST /h", "POST /h/{from}/x"},
			[]string{"POST /h/all up", "POST /h/{from} up 1000", "PUT /h/{id} up"}},
	} {
		got, err := routes(operations(c.operations...), "up")
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, r := range got {
			cluster := r.Cluster
			if cluster == clusterHTTP {
				cluster = "ours"
			}
			if r.Body > 0 {
				cluster += " " + strconv.FormatInt(r.Body, 10)
			}
			list = append(list, r.Name+" "+cluster)
		}
		if strings.Join(list, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s: got %q, want %q", name, list, c.want)
		}
	}
}

func TestRouteMatchesItsTemplate(t *testing.T) {
	for _, c := range []struct {
		path, request string
		want          bool
	}{
		{"/v1/keys/{id}", "/v1/keys/k1", true}, {"/v1/keys/{id}", "/v1/keys/", false}, {"/v1/keys/{id}", "/v1/keys/a/b", false},
		{"/v1.0/{id}/x", "/v1.0/a/x", true}, {"/v1.0/{id}/x", "/v1x0/a/x", false},
		{"/f/{rest...}", "/f/a/b", true}, {"/f/{rest...}", "/f/", false}, {"/f/{rest...}", "/f", false},
	} {
		r, err := operationRoute(&sallyport.Operation{Method: "GET", Path: c.path}, "up")
		if err != nil {
			t.Fatal(err)
		}
		if got := regexp.MustCompile("^(?:" + r.Regex + ")$").MatchString(c.request); got != c.want {
			t.Errorf("%s on %s: got %v, want %v", c.path, c.request, got, c.want)
		}
	}
}

func TestHostExpressionTakesEverySpellingAndNoOther(t *testing.T) {
	re := regexp.MustCompile("^(?:" + hostExpression(&sallyport.API{Hosts: []string{"api.orders.test", "[::1]"}}) + ")$")
	for host, want := range map[string]bool{
		"api.orders.test": true, "API.ORDERS.TEST.": true, "api.orders.test:80": true, "api.orders.test.:80": true, "[::1]:80": true,
		"apixorders.test": false, "a.api.orders.test": false, "api.orders.test:80:80": false, "api.orders.test:x": false, "": false,
	} {
		if got := re.MatchString(host); got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
	}
}
