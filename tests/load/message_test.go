package main

import (
	"regexp"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"
)

func TestEveryRequestIsWholeAndFresh(t *testing.T) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$`)
	keys := []string{"ord_live_a", "ord_live_b", "ord_live_c"}
	requests, err := newStencil(keys, false, 1)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for i := range 1000 {
		var r authv3.CheckRequest
		if err := proto.Unmarshal(requests.next()[5:], &r); err != nil {
			t.Fatal(err)
		}
		headers := make(map[string]string)
		for _, h := range r.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders() {
			headers[h.GetKey()] = string(h.GetRawValue())
		}
		if got, want := headers["x-api-key"], keys[i%len(keys)]; got != want {
			t.Fatalf("request %d: key %q, want %q", i, got, want)
		}
		for _, name := range []string{"x-sallyport-sid", "x-request-id"} {
			id := headers[name]
			if !uuid.MatchString(id) || seen[id] {
				t.Fatalf("request %d: %s %q is no fresh UUID", i, name, id)
			}
			seen[id] = true
		}
	}
}

func TestKeysHaveOneLength(t *testing.T) {
	for _, keys := range [][]string{nil, {""}, {"a", "bb"}} {
		if _, err := newStencil(keys, false, 1); err == nil {
			t.Errorf("keys %q were accepted", keys)
		}
	}
}
