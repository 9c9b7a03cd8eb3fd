package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// stand-in is a gate with one door, which does what keys need and has one flaw.
type standIn struct {
	flaw string

	mu   sync.Mutex // guards all below
	keys []*standInKey
}

type standInKey struct {
	secret, old     string
	oldGood, narrow bool
	off, gone       bool
	quota           int
}

func (s *standIn) serve(t *testing.T) *pool {
	t.Helper()
	var mux http.ServeMux
	mux.HandleFunc("POST /admin/v1/keys", s.create)
	mux.HandleFunc("POST /admin/v1/keys/{id}/roll", s.roll)
	mux.HandleFunc("POST /admin/v1/keys/{id}/revoke", s.revoke)
	mux.HandleFunc("PATCH /admin/v1/keys/{id}", s.change)
	mux.HandleFunc("GET "+chainPath, s.decide)
	server := httptest.NewServer(&mux)
	t.Cleanup(server.Close)
	address := server.Listener.Addr().String()
	return &pool{
		gate:   &gate{http: address, token: "token"},
		doors:  []*door{{paired, address, server.Client()}, {fused, address, server.Client()}},
		ledger: newLedger(func() {}),
	}
}

func (s *standIn) of(r *http.Request) *standInKey {
	i, _ := strconv.Atoi(r.PathValue("id"))
	return s.keys[i]
}

func (s *standIn) show(w io.Writer, id int) {
	json.NewEncoder(w).Encode(map[string]any{"key_id": strconv.Itoa(id), "key": s.keys[id].secret})
}

func (s *standIn) create(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var in struct{ Plan string }
	json.NewDecoder(r.Body).Decode(&in)
	k := &standInKey{secret: fmt.Sprintf("key%d", len(s.keys)), quota: 1000}
	if in.Plan == "small" {
		k.quota = smallQuota
		if s.flaw == "generous" {
			k.quota++
		}
		if s.flaw == "mean" {
			k.quota--
		}
	}
	s.keys = append(s.keys, k)
	s.show(w, len(s.keys)-1)
}

func (s *standIn) roll(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, _ := io.ReadAll(r.Body)
	k := s.of(r)
	k.old, k.secret = k.secret, k.secret+"b"
	k.oldGood = strings.Contains(string(text), "1h") || s.flaw == "old secrets stay"
	i, _ := strconv.Atoi(r.PathValue("id"))
	s.show(w, i)
}

func (s *standIn) revoke(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of(r).gone = s.flaw != "revoked keys stay"
	io.WriteString(w, "{}")
}

func (s *standIn) change(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, _ := io.ReadAll(r.Body)
	k := s.of(r)
	switch {
	case strings.Contains(string(text), "state"):
		k.off = strings.Contains(string(text), "disabled") && s.flaw != "disabled keys stay"
	default:
		k.narrow = strings.Contains(string(text), "orders:write") && s.flaw != "scopes stay"
	}
	io.WriteString(w, "{}")
}

func (s *standIn) decide(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := unknown
	for _, k := range s.keys {
		shown := r.Header.Get("X-API-Key")
		if shown != k.secret && (shown != k.old || !k.oldGood) || k.off || k.gone {
			continue
		}
		switch k.quota--; {
		case k.narrow:
			o = narrow
		case k.quota < 0:
			o = exhausted
		default:
			pass(w, true)
			return
		}
	}
	w.WriteHeader(o.status)
	fmt.Fprintf(w, `{"error":{"code":%q}}`, o.code)
}

// All that becomes of keys passes with a gate that does right, and shows one that
// does not.
func TestKeysShowAGateThatDoesWrong(t *testing.T) {
	tests := []struct{ flaw, want string }{
		{"", ""},
		{"revoked keys stay", "it passed, want 401"},
		{"old secrets stay", "it passed, want 401"},
		{"disabled keys stay", "it passed, want 401"},
		{"scopes stay", "it passed, want 403"},
		{"generous", "it passed, want 429"},
		{"mean", "got 429 rate_limited, want 200"},
	}
	for _, tt := range tests {
		t.Run(tt.flaw, func(t *testing.T) {
			p := (&standIn{flaw: tt.flaw}).serve(t)
			var dead ring
			for _, steps := range lives {
				if err := p.live(t.Context(), steps, &dead); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.spend(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := strings.Join(p.ledger.faults, "\n")
			if !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if want := len(lives) + 2; len(dead.all) != want {
				t.Errorf("%d secrets are dead, want %d: of each key, and of two those before", len(dead.all), want)
			}
		})
	}
}

// Whatever becomes of Redis, a quota is at least itself, and no more than itself
// where Redis stays.
func TestQuotaIsBoundedWhateverBecomesOfRedis(t *testing.T) {
	for flaw, want := range map[string]string{"": "", "generous": "let 6 pass, want 5 to 5", "mean": "let 4 pass, want 5 to 5"} {
		got := ""
		if err := (&standIn{flaw: flaw}).serve(t).spendAnyhow(t.Context(), t.Context().Done()); err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", flaw, got, want)
		}
	}
	for restarts, want := range []uint64{5, 15, 25} {
		if least, most := mayPass(uint64(restarts)); least != 5 || most != want {
			t.Errorf("%d restarts: got %d to %d, want 5 to %d", restarts, least, most, want)
		}
	}
}

func TestTheDeadAreBounded(t *testing.T) {
	var r ring
	if got := r.any(); got != "" {
		t.Errorf("of none: got %q", got)
	}
	for i := range 2*mostDead + 1 {
		r.add(strconv.Itoa(i), "")
	}
	if len(r.all) != mostDead {
		t.Errorf("%d are kept, want %d", len(r.all), mostDead)
	}
	for _, s := range r.all {
		if i, err := strconv.Atoi(s); err != nil || i <= mostDead {
			t.Errorf("%q is kept, and newer ones are not", s)
		}
	}
}
