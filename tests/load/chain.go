package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// filters is what stands between Envoy's listener and its router.
type filters string

const (
	bare   filters = "Envoy alone"
	native filters = "Envoy's own filters" // for keys and limits: the floor, which asks nobody
	paired filters = "paired"
	fused  filters = "fused"
	hollow filters = "fused, an empty Check" // grpc-go answers in place of sallyport
)

// way is a way of requests to the upstream: one line of the second table. The
// zero value of a setting, besides its filters, is the usual one: sallyport is
// asked over a Unix socket, Envoy has one worker, and clients come by HTTP/1.1.
type way struct {
	filters filters
	tcp     bool // to sallyport
	workers int  // besides the first
	http2   bool // from the client
}

func (w way) String() string { return string(w.filters) + w.setting() }

// setting says what is not as usual.
func (w way) setting() (s string) {
	if w.tcp {
		s += ", TCP"
	}
	if w.workers > 0 {
		s += fmt.Sprintf(", %d workers", 1+w.workers)
	}
	if w.http2 {
		s += ", HTTP/2"
	}
	return s
}

// with is w with other filters. To Envoy's own it is all one how sallyport
// would be asked.
func (w way) with(f filters) way {
	w.filters = f
	w.tcp = w.tcp && w.asks()
	return w
}

// asks reports whether someone is asked about a request, and quota whether
// answers tell what is left.
func (w way) asks() bool  { return w.filters == paired || w.filters == fused || w.filters == hollow }
func (w way) quota() bool { return w.filters == paired || w.filters == fused || w.filters == native }

// envoy is what an Envoy has to be for w: it takes clients by both protocols.
func (w way) envoy() way {
	w.http2 = false
	return w
}

// settings other than the usual one differ from it in one thing each.
var settings = []way{{tcp: true}, {workers: 1}, {http2: true}}

// ways are those to be measured.
func ways(quick bool) []way {
	var all []way
	for _, f := range []filters{bare, native, hollow, paired, fused} {
		all = append(all, way{filters: f})
	}
	if quick {
		return all
	}
	for _, s := range settings {
		for _, f := range []filters{bare, paired, fused} {
			if w := s.with(f); w.setting() != "" {
				all = append(all, w)
			}
		}
	}
	return all
}

// chainPart measures requests on their way through a real Envoy: what CPU they
// cost it and sallyport, and how long they take.
func chainPart(ctx context.Context, o options, dir string) (found finding, err error) {
	if o.sallyport == "" || o.target != "" {
		found.note("The chain is left out: it needs -sallyport.")
		return found, nil
	}
	envoy, err := findEnvoy(ctx, o.module)
	if err != nil {
		found.note("The chain is left out: there is no Envoy: %v", err)
		return found, nil
	}
	r := rig{dir: dir, binary: envoy, envoys: make(map[way]*listening)}
	defer r.stop()
	all := ways(o.quick)
	if err := r.start(ctx, o, all); err != nil {
		return found, err
	}
	var traffics []*traffic
	for _, w := range all {
		t, err := r.traffic(ctx, w)
		if err != nil {
			return found, err
		}
		defer t.close()
		defer context.AfterFunc(ctx, t.close)()
		if err := r.prove(ctx, t); err != nil {
			return found, t.fault(err)
		}
		traffics = append(traffics, t)
	}
	spent, err := measureCosts(ctx, traffics, o.rounds, o.budget*6/10)
	if err != nil {
		return found, err
	}
	delays, err := measureDelays(ctx, traffics, max(o.rounds/3, 1), o.budget*4/10)
	if err != nil {
		return found, err
	}
	return chainFinding(all, spent, delays), nil
}

// findEnvoy has the repository's script say where an Envoy is.
func findEnvoy(ctx context.Context, module string) (string, error) {
	return findTool(ctx, module, "envoy.sh")
}

// findTool has one of the repository's scripts say where a program is.
func findTool(ctx context.Context, module, script string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute) // it may have to fetch one
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(module, "scripts", script))
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, strings.TrimSpace(complaint.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
