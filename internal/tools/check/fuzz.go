package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// goPackage is what go list tells of a package.
type goPackage struct {
	Dir, ImportPath           string
	TestGoFiles, XTestGoFiles []string
}

// folder is where the package is, below root.
func (g goPackage) folder(root string) string {
	folder, err := filepath.Rel(root, g.Dir)
	if err != nil {
		return g.Dir
	}
	return filepath.ToSlash(folder)
}

func (p *project) packages(ctx context.Context) (all []goPackage, err error) {
	c := p.command(ctx, "", "go", "list", "-json=Dir,ImportPath,TestGoFiles,XTestGoFiles", "./...")
	c.Stderr = p.out
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	for d := json.NewDecoder(out); ; {
		var one goPackage
		if err = d.Decode(&one); err != nil {
			break
		}
		all = append(all, one)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return all, errors.Join(err, c.Wait())
}

var fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz\w*)\(\w+ \*testing\.F\) `)

// targets lists the fuzz targets of a package. They are read from its source:
// `go test -list` would build every test of the module once more, without the
// race detector, to tell the same.
func (g goPackage) targets() (names []string, err error) {
	for _, file := range append(g.TestGoFiles, g.XTestGoFiles...) {
		text, err := os.ReadFile(filepath.Join(g.Dir, file))
		if err != nil {
			return nil, err
		}
		for _, m := range fuzzTarget.FindAllSubmatch(text, -1) {
			names = append(names, string(m[1]))
		}
	}
	return names, nil
}

// fuzz runs each target for a moment. Its output is told where it fails.
func (p *project) fuzz(ctx context.Context) error {
	packages, err := p.packages(ctx)
	if err != nil {
		return err
	}
	var failed []error
	ran := 0
	for _, one := range packages {
		names, err := one.targets()
		if err != nil {
			return err
		}
		for _, name := range names {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			ran++
			failed = append(failed, p.fuzzOne(ctx, "./"+one.folder(p.root), name))
		}
	}
	if ran == 0 {
		return errors.New("no fuzz target found")
	}
	return errors.Join(failed...)
}

func (p *project) fuzzOne(ctx context.Context, folder, name string) error {
	began := time.Now()
	output, err := p.command(ctx, "", "go", "test", "-run=^$", "-fuzz=^"+name+"$", "-fuzztime="+p.fuzzTime.String(), folder).CombinedOutput()
	took := time.Since(began).Round(100 * time.Millisecond)
	if err != nil && outOfTime(output) {
		fmt.Fprintf(p.out, "ok   %s %s %s (its last input was cut off by the end of its time)\n", folder, name, took)
		return nil
	}
	if err != nil {
		fmt.Fprintf(p.out, "FAIL %s %s %s\n%s\n", folder, name, took, output)
		return fmt.Errorf("%s of %s: %w", name, folder, err)
	}
	fmt.Fprintf(p.out, "ok   %s %s %s\n", folder, name, took)
	return nil
}

// outOfTime reports whether a target failed for nothing but its time's end: on
// a busy machine Go's fuzzing may be cut off in the middle of an input, and
// then says so as a failure. A finding names the input that it wrote down.
func outOfTime(output []byte) bool {
	return bytes.Contains(output, []byte("context deadline exceeded")) && !bytes.Contains(output, []byte("Failing input"))
}
