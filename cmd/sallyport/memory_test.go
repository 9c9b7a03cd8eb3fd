package main

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
)

func TestMemoryLimitOfAContainer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "memory.max")
	for text, want := range map[string]int64{
		"536870912\n": 512 << 20, "max\n": 0, "9223372036854771712\n": 0, "0\n": 0, "-1\n": 0, "": 0, "lots": 0,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := memoryLimit([]string{file + ".none", file}); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
	if got := memoryLimit([]string{file + ".none"}); got != 0 {
		t.Errorf("without a file: got %d", got)
	}
}

func TestTheEnvironmentHasTheLastWordOnMemory(t *testing.T) {
	percent, limit := debug.SetGCPercent(150), debug.SetMemoryLimit(1<<40)
	files := memoryFiles
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
		memoryFiles = files
	})
	file := filepath.Join(t.TempDir(), "memory.max")
	if err := os.WriteFile(file, []byte("1000000000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	memoryFiles = []string{file}
	tuneMemory(t.Context(), func(string) string { return "set" })
	if got := debug.SetGCPercent(150); got != 150 {
		t.Errorf("GOGC became %d", got)
	}
	if got := debug.SetMemoryLimit(-1); got != 1<<40 {
		t.Errorf("GOMEMLIMIT became %d", got)
	}
	tuneMemory(t.Context(), func(string) string { return "" })
	if got := debug.SetGCPercent(150); got != littleGarbage {
		t.Errorf("GOGC is %d", got)
	}
	if got := debug.SetMemoryLimit(-1); got != 900_000_000 {
		t.Errorf("GOMEMLIMIT is %d", got)
	}
}

func TestGarbageGoesByWhatLives(t *testing.T) {
	percent := littleGarbage
	for _, step := range []struct {
		alive uint64
		want  int
	}{
		{20 << 20, littleGarbage}, {60 << 20, littleGarbage}, {65 << 20, muchGarbage}, {60 << 20, muchGarbage}, {47 << 20, littleGarbage},
	} {
		if percent = garbageFor(step.alive, percent); percent != step.want {
			t.Errorf("%d MiB: got %d, want %d", step.alive>>20, percent, step.want)
		}
	}
	runtime.GC()
	if alive() == 0 {
		t.Error("nothing lives")
	}
}
