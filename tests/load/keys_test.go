package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestKeysHaveTheirForm(t *testing.T) {
	keys := newKeys(25)
	form := regexp.MustCompile(`^ord_live_[0-9A-Za-z]{38}$`)
	for _, key := range keys {
		if !form.MatchString(key) {
			t.Errorf("%q is no key", key)
		}
	}
	file := filepath.Join(t.TempDir(), "keys")
	if err := writeKeys(file, keys); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if want := `{"tenant":"t2","key":"` + keys[20] + `","scopes":["orders:read"]}`; len(lines) != 25 || lines[20] != want || tenants(25) != 3 {
		t.Errorf("%d lines, the 21st %s, want %s", len(lines), lines[20], want)
	}
}

func TestTheSecondConnectionBeginsInTheMiddle(t *testing.T) {
	for seed, want := range []string{"a1", "c3"} {
		x, err := fromHalf([]string{"a1", "b2", "c3", "d4"})(uint64(seed))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(x.next()), want) {
			t.Errorf("connection %d does not begin with %s", seed, want)
		}
	}
}

func TestWhatDoesNotHoldMissesABar(t *testing.T) {
	var all, one finding
	one.hold(true, "%d reads", 7)
	if all.add(one); all.missed {
		t.Error("what holds is a bar missed")
	}
	one.hold(false, "%d reads", 8)
	all.add(one)
	all.add(finding{})
	if !all.missed || all.notes[2] != "8 reads: NO." {
		t.Errorf("got %+v, want a bar missed", all)
	}
	o := options{strict: true, module: "."}
	var text strings.Builder
	if err := o.report(t.Context(), &text, all); err != errBar {
		t.Errorf("got %v, want %v", err, errBar)
	}
}
