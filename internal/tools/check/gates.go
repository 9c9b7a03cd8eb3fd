package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The versions of what is not part of the module, so that a run means the same
// tomorrow.
const (
	staticcheck = "honnef.co/go/tools/cmd/staticcheck@v0.8.2"
	govulncheck = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
)

// vulnerabilities is the database that govulncheck asks.
const vulnerabilities = "https://vuln.go.dev"

// load is the module of the benchmarks, which has dependencies of its own.
const load = "tests/load"

// kubernetes is the module of what judges the manifests.
const kubernetes = "tests/kubernetes"

// project is what the gates look at.
type project struct {
	root     string
	out      io.Writer
	fuzzTime time.Duration
	update   bool     // golden files are written anew
	env      []string // added to the commands' environment
}

// gates are all of them, in order: what is cheap to fail comes first.
func (p *project) gates() []gate {
	return []gate{
		{"gofmt", p.gofmt},
		{"vet", p.inModules("go", "vet", "./...")},
		{"tidy", p.inModules("go", "mod", "tidy", "-diff")},
		{"staticcheck", p.inModules("go", "run", staticcheck, "./...")},
		{"envoy", p.fetched("scripts/envoy.sh", "ENVOY", "--version")},
		{"redis", p.fetched("scripts/redis.sh", "REDIS_SERVER", "--version")},
		{"chromium", p.fetched("scripts/chromium.sh", "CHROMIUM", "--version")},
		{"test", p.test},
		{"unraced", p.unraced},
		{"fuzz", p.fuzz},
		{"govulncheck", p.govulncheck},
		{"e2e", p.e2e},
	}
}

// asked are gates that run where they are named: what they need takes long to
// build.
func (p *project) asked() []gate {
	return []gate{
		{"envoys", p.envoys},
		{"istio", p.istio},
		{"envoygateway", p.envoyGateway},
		{"kubernetes", p.kubernetes},
	}
}

// findRoot returns the project's folder: the nearest with a go.mod that is
// called sallyport.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(text, []byte("module github.com/sallyport/sallyport\n")) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("run it in the project's folder")
		}
	}
}

// command makes a command that is asked to end with ctx, and has some time for
// it: tests clean up after themselves.
func (p *project) command(ctx context.Context, folder string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Dir = filepath.Join(p.root, folder)
	c.Env = append(os.Environ(), p.env...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 20 * time.Second
	return c
}

// show runs a command whose output is for the reader.
func (p *project) show(ctx context.Context, folder string, args ...string) error {
	fmt.Fprintf(p.out, "%s$ %s\n", folder, strings.Join(args, " "))
	c := p.command(ctx, folder, args...)
	c.Stdout, c.Stderr = p.out, p.out
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s, %s: %w", filepath.ToSlash(filepath.Join(".", folder)), brief(args), err)
	}
	return nil
}

// brief is a command for a report; the whole one stands above its output.
func brief(args []string) string {
	const enough = 5
	if len(args) > enough {
		return strings.Join(args[:enough], " ") + " …"
	}
	return strings.Join(args, " ")
}

// inModules runs a command in the module and in that of the benchmarks.
func (p *project) inModules(args ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		return errors.Join(p.show(ctx, "", args...), p.show(ctx, load, args...))
	}
}

func (p *project) gofmt(ctx context.Context) error {
	root, err := p.command(ctx, "", "go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	// The one that belongs to this Go: another may have another taste.
	gofmt := filepath.Join(strings.TrimSpace(string(root)), "bin", "gofmt")
	if _, err := os.Stat(gofmt); err != nil {
		gofmt = "gofmt"
	}
	unformatted, err := p.command(ctx, "", gofmt, "-l", ".").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, unformatted)
	}
	if len(unformatted) > 0 {
		return fmt.Errorf("not formatted, see gofmt -d:\n%s", bytes.TrimSpace(unformatted))
	}
	return nil
}

// fetched sees to it that there is a program, by its script, and tells the tests
// that follow, which require it, where.
func (p *project) fetched(script, variable string, version ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		words := strings.Fields(script)
		c := p.command(ctx, "", words...)
		c.Stderr = p.out
		text, err := c.Output()
		if err != nil {
			return fmt.Errorf("%s: %w", script, err)
		}
		path := strings.TrimSpace(string(text))
		p.env = append(p.env, variable+"="+path)
		return p.show(ctx, "", append([]string{path}, version...)...)
	}
}

// test runs all tests but those of e2e, which are a gate of their own.
func (p *project) test(ctx context.Context) error {
	if err := p.haveCompiler(ctx); err != nil {
		return err
	}
	packages, err := p.packages(ctx)
	if err != nil {
		return err
	}
	args := []string{"go", "test", "-race", "-timeout=30m"}
	for _, one := range packages {
		if !strings.HasSuffix(one.ImportPath, "/tests/e2e") {
			args = append(args, "./"+one.folder(p.root))
		}
	}
	p.requireAll()
	return errors.Join(p.show(ctx, "", args...), p.show(ctx, load, "go", "test", "-race", "./..."))
}

// unraced runs the tests that the race detector spoils, or makes too slow to run
// whole: those that count allocations and bytes, and the million racing loads.
func (p *project) unraced(ctx context.Context) error {
	return p.show(ctx, "", "go", "test", "./extauthz", "./ratelimit", "./internal/anomaly")
}

func (p *project) e2e(ctx context.Context) error {
	p.requireAll()
	return p.show(ctx, "", "go", "test", "-race", "-count=1", "-timeout=30m", "./tests/e2e")
}

// versions are the Envoys that we are good for; the newest is the one of all other
// gates.
var versions = []string{"1.37.0", "1.38.3", "1.39.3", "1.40.0"}

// envoys runs what is generated on every version of Envoy that we are good for.
func (p *project) envoys(ctx context.Context) error {
	var paths []string
	for _, version := range versions {
		one := &project{root: p.root, out: p.out, env: append(slices.Clone(p.env), "ENVOY_VERSION="+version)}
		if err := one.fetched("scripts/envoy.sh", "ENVOY", "--version")(ctx); err != nil {
			return err
		}
		path, _ := strings.CutPrefix(one.env[len(one.env)-1], "ENVOY=")
		paths = append(paths, path)
	}
	p.env = append(p.env, "SALLYPORT_TEST_REQUIRE=envoys", "ENVOYS="+strings.Join(paths, string(os.PathListSeparator)))
	return p.show(ctx, "", "go", "test", "-count=1", "-timeout=20m", "-run=^TestEveryEnvoy", "-v", "./tests/e2e")
}

// istio runs the tests that need Istio's control plane. The first time builds it,
// which takes ten minutes of CPU time.
func (p *project) istio(ctx context.Context) error {
	return p.behind(ctx, "^TestIstio", "istiod", p.fetched("scripts/controlplane.sh istiod", "ISTIOD", "version"))
}

// envoyGateway runs the tests that need Envoy Gateway. The first time builds it,
// which takes as long.
func (p *project) envoyGateway(ctx context.Context) error {
	return p.behind(ctx, "^TestEnvoyGateway", "envoygateway",
		p.fetched("scripts/controlplane.sh envoy-gateway", "ENVOY_GATEWAY", "version"),
		p.fetched("scripts/controlplane.sh egctl", "EGCTL", "version", "--remote=false"))
}

// kubernetes holds the chart and the manifests to what Kubernetes takes. The first
// time compiles half of it.
func (p *project) kubernetes(ctx context.Context) error {
	args := []string{"go", "test", "-count=1", "./..."}
	if p.update {
		args = append(args, "-update")
	}
	return errors.Join(p.show(ctx, kubernetes, "go", "vet", "./..."), p.show(ctx, kubernetes, "go", "run", staticcheck, "./..."), p.show(ctx, kubernetes, args...))
}

// behind runs the tests called so behind proxies that a control plane tells what
// to do, once there is all that they need; requires is what they would be skipped
// without.
func (p *project) behind(ctx context.Context, tests, requires string, needs ...func(context.Context) error) error {
	needs = append([]func(context.Context) error{p.fetched("scripts/envoy.sh", "ENVOY", "--version")}, needs...)
	for _, need := range needs {
		if err := need(ctx); err != nil {
			return err
		}
	}
	p.env = append(p.env, "SALLYPORT_TEST_REQUIRE=envoy,"+requires)
	args := []string{"go", "test", "-count=1", "-timeout=20m", "-run=" + tests, "./tests/e2e"}
	if p.update {
		args = append(args, "-update")
	}
	return p.show(ctx, "", args...)
}

// requireAll makes failures of the tests that would be skipped for want of
// something, and saves the second that the race detector waits at the end of
// every process.
func (p *project) requireAll() {
	p.env = append(p.env, "SALLYPORT_TEST_REQUIRE=envoy,redis,chromium,cc", "GORACE=atexit_sleep_ms=10")
}

// haveCompiler says what is missing where go would say it less clearly.
func (p *project) haveCompiler(ctx context.Context) error {
	cc, err := p.command(ctx, "", "go", "env", "CC").Output()
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(strings.TrimSpace(string(cc)), " ")
	if _, err := exec.LookPath(name); err != nil {
		return fmt.Errorf("the race detector needs a C compiler, and %s is not on PATH (such as: apt-get install gcc libc6-dev)", name)
	}
	return nil
}

// govulncheck is skipped where the database cannot be reached: that says
// nothing about the code.
func (p *project) govulncheck(ctx context.Context) error {
	quick, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(quick, http.MethodHead, vulnerabilities+"/index/db.json", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return skipped(vulnerabilities + " cannot be reached")
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return skipped(vulnerabilities + " answers " + resp.Status)
	}
	return p.inModules("go", "run", govulncheck, "./...")(ctx)
}
