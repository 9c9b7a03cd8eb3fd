package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAllGatesRunAndAreCounted(t *testing.T) {
	var ran []string
	one := func(name string, err error) gate {
		return gate{name, func(context.Context) error {
			ran = append(ran, name)
			return err
		}}
	}
	for _, c := range []struct {
		gates []gate
		code  int
		last  string
		holds string
	}{
		{[]gate{one("a", nil), one("b", nil)}, 0, "2 passed, 0 failed", "== b: passed"},
		{[]gate{one("a", errors.New("torn")), one("b", nil), one("c", errors.New("worn"))}, 1, "1 passed, 2 failed", "Failed: a, c\n"},
		{[]gate{one("a", nil), one("b", skipped("far away"))}, 0, "1 passed, 0 failed", "== b: skipped: far away"},
	} {
		ran = nil
		var out bytes.Buffer
		code := runGates(t.Context(), c.gates, &out)
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if code != c.code || lines[len(lines)-1] != c.last || !strings.Contains(out.String(), c.holds) {
			t.Errorf("got %d, %q\n%s", code, lines[len(lines)-1], &out)
		}
		if len(ran) != len(c.gates) {
			t.Errorf("ran %v of %d", ran, len(c.gates))
		}
	}
}

func TestAfterAnInterruptTheRestIsNotRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	code := runGates(ctx, []gate{
		{"a", func(context.Context) error { cancel(); return nil }},
		{"b", func(context.Context) error { t.Error("b ran"); return nil }},
	}, io.Discard)
	if code != 1 {
		t.Errorf("got %d", code)
	}
}

func TestGatesAreChosenByName(t *testing.T) {
	names := func(gates []gate) (names []string) {
		for _, g := range gates {
			names = append(names, g.name)
		}
		return names
	}
	all, asked := (&project{}).gates(), (&project{}).asked()
	if got, err := choose(all, asked, nil); err != nil || len(got) != len(all) {
		t.Errorf("none named: got %v, %v", names(got), err)
	}
	if got, err := choose(all, asked, []string{"fuzz", "vet"}); err != nil || !slices.Equal(names(got), []string{"vet", "fuzz"}) {
		t.Errorf("two named: got %v, %v", names(got), err)
	}
	if got, err := choose(all, asked, []string{"istio", "vet"}); err != nil || !slices.Equal(names(got), []string{"vet", "istio"}) {
		t.Errorf("one that is to be asked for: got %v, %v", names(got), err)
	}
	if _, err := choose(all, asked, []string{"lint"}); err == nil || !strings.Contains(err.Error(), `unknown gate "lint"; there are gofmt, `) {
		t.Errorf("unknown: got %v", err)
	}
}

func TestFuzzTargetsAreFoundInSource(t *testing.T) {
	dir := t.TempDir()
	text := "package x\nfunc FuzzOne(f *testing.F) {}\nfunc TestFuzz(t *testing.T) {}\nfunc FuzzTwo(f *testing.F) {\n}\nfunc FuzzHelper(t *testing.T) {}\n"
	if err := os.WriteFile(filepath.Join(dir, "x_test.go"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := goPackage{Dir: dir, XTestGoFiles: []string{"x_test.go"}}.targets()
	if err != nil || !slices.Equal(got, []string{"FuzzOne", "FuzzTwo"}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestCommandEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	p := &project{root: t.TempDir(), out: io.Discard}
	began := time.Now()
	if err := p.show(ctx, "", "sleep", "30"); err == nil {
		t.Error("no error")
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestOnlyTheEndOfItsTimeIsForgivenAFuzzTarget(t *testing.T) {
	for output, want := range map[string]bool{
		"--- FAIL: FuzzX (5.01s)\n    context deadline exceeded\nFAIL":                           true,
		"--- FAIL: FuzzX (0.51s)\n    got 1\n    Failing input written to testdata/fuzz/FuzzX/1": false,
		"--- FAIL: FuzzX\n context deadline exceeded\n Failing input written to testdata":        false,
		"build failed": false,
	} {
		if got := outOfTime([]byte(output)); got != want {
			t.Errorf("%q: %v, want %v", output, got, want)
		}
	}
}
