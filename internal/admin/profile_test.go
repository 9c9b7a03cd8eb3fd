package admin

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"runtime"
	"testing"
	"time"
)

func TestEachProfileIsOne(t *testing.T) {
	s := newServer(t)
	for _, kind := range Profiles {
		w := s.serve(s.request("GET", "/admin/v1/profile?seconds=1&kind="+kind, ""))
		zip, err := gzip.NewReader(w.Body)
		if w.Code != 200 || err != nil || w.Header().Get("Content-Type") != "application/octet-stream" {
			t.Fatalf("%s: %d %q, %v", kind, w.Code, w.Header().Get("Content-Type"), err)
		}
		if text, err := io.ReadAll(zip); err != nil || len(text) == 0 {
			t.Errorf("%s: %d bytes, %v", kind, len(text), err)
		}
	}
	if rate := runtime.SetMutexProfileFraction(-1); rate != 0 {
		t.Errorf("locks are still watched, one in %d", rate)
	}
}

func TestOneProfileAtATime(t *testing.T) {
	s := newServer(t)
	profiling.Lock()
	defer profiling.Unlock()
	call[problem](s, 409, "GET", "/admin/v1/profile", "")
	for _, wrong := range []string{"?kind=mem", "?seconds=0", "?seconds=21", "?length=1"} {
		call[problem](s, 422, "GET", "/admin/v1/profile"+wrong, "")
	}
}

func TestAProfileOfACallerWhoHasGoneEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, kind := range []string{"cpu", "mutex", "block"} {
		if err := gather(ctx, new(bytes.Buffer), kind, time.Hour); err == nil {
			t.Errorf("%s: no error", kind)
		}
	}
}
