package main

import (
	"bytes"
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"time"
)

// Where the environment says nothing, GOGC is little while what lives fits into a
// processor's caches with its garbage, which makes a call at a time cheaper, and
// much where there are many credentials: to look through those is what collecting
// costs, and is to be rare.
const (
	littleGarbage, muchGarbage = 200, 400

	muchAlive, littleAlive = 64 << 20, 48 << 20 // bytes; between them it stays as it is
	lookEvery              = 10 * time.Second
)

// memoryFiles say how much memory a container may have: of cgroup v2, then v1.
var memoryFiles = []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}

// tuneMemory tells Go's runtime how to spend memory until ctx ends, where the
// environment does not (GOGC, GOMEMLIMIT). Near a container's limit it collects
// more often rather than be killed.
func tuneMemory(ctx context.Context, getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(littleGarbage)
		go tuneGarbage(ctx)
	}
	if limit := memoryLimit(memoryFiles); limit > 0 && getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit / 10 * 9) // the rest is for what Go does not count
	}
}

// tuneGarbage sets GOGC by what lives, now and then.
func tuneGarbage(ctx context.Context) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	percent := littleGarbage
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if want := garbageFor(alive(), percent); want != percent { // to set it stops the world
			debug.SetGCPercent(want)
			percent = want
		}
	}
}

// garbageFor returns GOGC where so many bytes live and it is percent.
func garbageFor(alive uint64, percent int) int {
	switch {
	case alive > muchAlive:
		return muchGarbage
	case alive < littleAlive:
		return littleGarbage
	}
	return percent
}

// alive returns how many bytes the last collection has left.
func alive() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// memoryLimit returns what the first of files that can be read says, in bytes; 0
// where there is no limit, which cgroup v1 writes as more than anybody has.
func memoryLimit(files []string) int64 {
	const anybody = 1 << 50
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		limit, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
		if err != nil || limit < 1 || limit > anybody {
			return 0
		}
		return limit
	}
	return 0
}
