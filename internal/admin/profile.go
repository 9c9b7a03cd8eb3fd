package admin

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Profiles are what a server can tell of where its time and memory go, in the
// form of `go tool pprof`.
var Profiles = []string{"cpu", "heap", "allocs", "goroutine", "mutex", "block"}

// ProfileRequest asks for one of Profiles. The heap and the goroutines are those
// of the moment, allocations are all since the start; the rest is gathered for
// so many seconds.
type ProfileRequest struct {
	Kind    string `query:"kind" enum:"cpu,heap,allocs,goroutine,mutex,block" default:"cpu" doc:"What to tell"`
	Seconds int    `query:"seconds" minimum:"1" maximum:"20" default:"5" doc:"How long to gather, of cpu, mutex and block"`
}

// profileAnswer is a gzipped protocol buffer.
type profileAnswer struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (h *Handler) registerProfile(api huma.API) {
	o := operation("profile", http.MethodGet, "/admin/v1/profile", "Tell where time and memory go, for go tool pprof")
	o.Errors = append(o.Errors, http.StatusConflict)
	o.Responses = map[string]*huma.Response{"200": {
		Description: "A profile, gzipped",
		Content:     map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}}
	huma.Register(api, o, h.profile)
}

// profiling is held while one is gathered: the runtime's rates are the
// process's, and so is the one CPU profile.
var profiling sync.Mutex

func (h *Handler) profile(ctx context.Context, in *ProfileRequest) (*profileAnswer, error) {
	if !profiling.TryLock() {
		return nil, huma.Error409Conflict("another profile is being gathered; try again when it is done")
	}
	defer profiling.Unlock()
	var text bytes.Buffer
	if err := gather(ctx, &text, in.Kind, time.Duration(in.Seconds)*time.Second); err != nil {
		return nil, h.problem(ctx, "profile", "profile", err)
	}
	return &profileAnswer{"application/octet-stream", text.Bytes()}, nil
}

// Mutex and block profiles count one event in so many, and every wait longer
// than so many nanoseconds.
const (
	mutexEvents = 10
	blockTime   = 10_000
)

// gather writes the profile called kind to text. One that cannot be gathered
// for as long as was asked, since the caller has gone, is an error.
func gather(ctx context.Context, text *bytes.Buffer, kind string, length time.Duration) error {
	switch kind {
	case "cpu":
		if err := pprof.StartCPUProfile(text); err != nil {
			return fmt.Errorf("cpu profile: %w", err)
		}
		defer pprof.StopCPUProfile()
		return wait(ctx, length)
	case "mutex":
		before := runtime.SetMutexProfileFraction(mutexEvents)
		defer runtime.SetMutexProfileFraction(before)
		if err := wait(ctx, length); err != nil {
			return err
		}
	case "block":
		runtime.SetBlockProfileRate(blockTime)
		defer runtime.SetBlockProfileRate(0)
		if err := wait(ctx, length); err != nil {
			return err
		}
	case "heap":
		runtime.GC() // else it would be as of the last collection
	}
	return pprof.Lookup(kind).WriteTo(text, 0)
}

func wait(ctx context.Context, length time.Duration) error {
	done := time.NewTimer(length)
	defer done.Stop()
	select {
	case <-done.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
