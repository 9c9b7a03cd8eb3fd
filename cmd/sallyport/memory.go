package main

import (
	"bytes"
	"os"
	"runtime/debug"
	"strconv"
)

// garbage is GOGC where the environment says nothing: the server's live heap is
// small beside what the machine has, and collecting less often is worth more
// than the memory.
const garbage = 200

// memoryFiles say how much memory a container may have: of cgroup v2, then v1.
var memoryFiles = []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}

// tuneMemory tells Go's runtime how to spend memory, where the environment does
// not (GOGC, GOMEMLIMIT). Near a container's limit it collects more often
// rather than be killed.
func tuneMemory(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	if limit := memoryLimit(memoryFiles); limit > 0 && getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit / 10 * 9) // the rest is for what Go does not count
	}
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
