package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// machine says where and on what a table was made, in one paragraph.
func machine(ctx context.Context, module string, now time.Time) string {
	cpus, _ := os.ReadFile("/proc/cpuinfo") // then the model is unknown
	return fmt.Sprintf("%s, %d cores, %s, commit %s, %s",
		cpuModel(cpus), runtime.NumCPU(), runtime.Version(), commit(ctx, module), now.UTC().Format("2006-01-02 15:04 MST"))
}

func cpuModel(cpuinfo []byte) string {
	for line := range bytes.Lines(cpuinfo) {
		if name, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// commit is the checked-out commit, with a plus where files differ from it.
func commit(ctx context.Context, module string) string {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", append([]string{"--no-optional-locks", "-C", module}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	id, err := git("rev-parse", "--short=12", "HEAD")
	if err != nil {
		return "unknown"
	}
	if changes, err := git("status", "--porcelain"); err != nil || changes != "" {
		id += "+"
	}
	return id
}

// microBenchmarks runs the Go benchmarks of the module's hot parts.
func microBenchmarks(ctx context.Context, module, benchtime string) []string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // most of it is compiling
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^Benchmark(Decide|Take|Decode|Encode|Sign|Verify|FinderMemory)",
		"-benchmem", "-benchtime", benchtime, "./extauthz", "./ratelimit", "./internal/token")
	cmd.Dir = module
	out, err := cmd.CombinedOutput()
	lines := benchmarkLines(string(out))
	if err != nil {
		lines = append(lines, "go test: "+err.Error())
	}
	if len(lines) == 0 {
		lines = append(lines, "no benchmarks found")
	}
	return lines
}
