package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// profiles are what -profile gathers, each under load.
var profiles = []string{"cpu", "allocs", "mutex", "block"}

// gatherProfiles lays load of one shape on the gate, and has it tell where its
// time goes meanwhile, into files of o.profile.
func gatherProfiles(ctx context.Context, o options, g *gate, server *server, s shape) error {
	if err := os.MkdirAll(o.profile, 0o755); err != nil {
		return err
	}
	l, err := newLoad(ctx, server, s)
	if err != nil {
		return server.fault(err)
	}
	defer l.close()
	for _, kind := range profiles {
		path, err := filepath.Abs(filepath.Join(o.profile, fmt.Sprintf("%s-c%d-m%d.pprof", kind, s.connections, s.streams)))
		if err != nil {
			return err
		}
		gathered := make(chan error, 1)
		go func() {
			_, err := g.cli(ctx, "profile", kind, "--seconds", "10", "-o", path)
			gathered <- err
		}()
		for done := false; !done; {
			select {
			case err = <-gathered:
				done = true
			default:
				if _, err := l.run(500); err != nil {
					return server.fault(err)
				}
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
