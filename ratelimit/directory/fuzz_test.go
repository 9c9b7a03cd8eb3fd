package directory

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzRead holds the law: any bytes give either faults or a domain; what loads
// without a fault loads in envoyproxy/ratelimit too, save where it is beyond the
// pinned version; and then every rule is found there by its own entries, with
// the same numbers.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(some))
	f.Add([]byte("domain: d\ndescriptors: [&a {key: 0x1f, value: yes, shadow_mode: Off}, {<<: *a, value: v*, share_threshold: on}]\n---\n"))
	f.Add([]byte("domain: d\ndescriptors:\n- {key: a, metadata}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r := &reader{file: "file.yaml", domain: &domain{}, names: map[string]bool{}}
		r.readFile(text)
		complaint := ""
		if len(r.faults) == 0 {
			complaint = opinion("file.yaml", text)
		}
		got := read("file.yaml", text)
		if refused := len(r.faults) > 0 || !r.beyond && complaint != ""; (got.domain == nil) != refused || len(got.faults) == 0 == refused {
			t.Fatalf("got domain %v and faults %v", got.domain, got.faults)
		}
		if len(r.faults) == 0 && !r.beyond && complaint != "" && !strings.Contains(complaint, "excessive aliasing") {
			t.Fatalf("our own pass has no fault to find where envoyproxy/ratelimit says: %s", complaint)
		}
		if got.domain != nil && complaint == "" && !underscored(got.domain.top) {
			sameRules(t, got.domain, text)
		}
	})
}

// underscored reports whether envoyproxy/ratelimit may confuse keys of l with
// values (see Differences on purpose).
func underscored(l level) bool {
	for key, c := range l {
		nodes := slices.AppendSeq([]*node{c.bare}, maps.Values(c.values))
		if strings.Contains(key, "_") || slices.ContainsFunc(nodes, func(n *node) bool { return n != nil && underscored(n.below) }) {
			return true
		}
	}
	return false
}

// sameRules asks both sides for the rules of d, by the keys and values of the
// file.
func sameRules(t interface{ Fatalf(string, ...any) }, d *domain, text []byte) {
	set, reference := &Set{domains: map[string]*domain{d.name: d}}, oracle(t, text)
	for _, rule := range d.rules {
		var entries []Entry
		for _, n := range rule.path {
			entries = append(entries, Entry{n.key, n.value})
		}
		want := reference.GetLimit(context.Background(), d.name, descriptor(entries))
		got, key := set.Match(d.name, entries, nil)
		if got != rule || want == nil {
			t.Fatalf("%v: got %v, want %v", entries, got, want)
		}
		if got, want := ours(got, key, entries), theirs(d.name, want, entries); got != want {
			t.Fatalf("%v:\ngot  %+v\nwant %+v", entries, got, want)
		}
	}
}
