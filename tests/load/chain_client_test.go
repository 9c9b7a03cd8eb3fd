package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// front stands for Envoy: a server that speaks both protocols.
func front(t *testing.T, answer http.HandlerFunc) (address string) {
	t.Helper()
	server := httptest.NewUnstartedServer(answer)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

var frontKeys = []string{"ord_live_a", "ord_live_b", "ord_live_c"}

func connect(t *testing.T, w way, address string) *traffic {
	t.Helper()
	tr, err := newTraffic(t.Context(), w, address, frontKeys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.close)
	tr.envoy = &process{errors: new(tail)}
	return tr
}

// pass answers as the upstream does behind filters that tell the quota or not.
func pass(w http.ResponseWriter, quota bool) {
	if quota {
		for _, name := range quotaHeaders {
			w.Header().Add(name, "1")
		}
	}
	io.WriteString(w, chainBody)
}

var bothProtocols = []way{{filters: paired}, {filters: paired, http2: true}}

func TestEveryRequestShowsAKeyInTurn(t *testing.T) {
	for _, w := range bothProtocols {
		t.Run(w.String(), func(t *testing.T) {
			var byKey [3]atomic.Int64
			address := front(t, func(rw http.ResponseWriter, r *http.Request) {
				i := slices.Index(frontKeys, r.Header.Get("X-API-Key"))
				if i < 0 || r.Host != chainHost || r.URL.Path != chainPath || (r.ProtoMajor == 2) != w.http2 {
					http.Error(rw, "not the request of the load", http.StatusBadRequest)
					return
				}
				byKey[i].Add(1)
				pass(rw, true)
			})
			const calls = 3000
			if _, err := connect(t, w, address).run(calls); err != nil {
				t.Fatal(err)
			}
			sum := int64(0)
			for i := range byKey {
				got := byKey[i].Load()
				if sum += got; got < calls/4 {
					t.Errorf("key %d was shown %d times in %d requests", i, got, calls)
				}
			}
			if sum != calls {
				t.Errorf("%d requests, want %d", sum, calls)
			}
		})
	}
}

var badAnswers = []struct {
	name  string
	quota bool
	bad   http.HandlerFunc
	want  []string
}{
	{"refused", true, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"error":{"code":"unknown_credential"}}`)
	}, []string{"status 401", "unknown_credential"}},
	{"no quota", true, func(w http.ResponseWriter, _ *http.Request) { pass(w, false) },
		[]string{"0 headers X-Ratelimit-Limit, want one", "200 OK", chainBody}},
	{"the quota twice", true, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("X-RateLimit-Reset", "2")
		pass(w, true)
	}, []string{"2 headers X-Ratelimit-Reset, want one"}},
	{"nobody's quota", false, func(w http.ResponseWriter, _ *http.Request) { pass(w, true) },
		[]string{"there is a header X-Ratelimit-Limit"}},
	{"another body", true, func(w http.ResponseWriter, _ *http.Request) {
		pass(w, true)
		io.WriteString(w, "and more")
	}, []string{"the body is not the upstream's", "and more"}},
}

func TestOneBadAnswerEndsTheChain(t *testing.T) {
	for _, tt := range badAnswers {
		for _, w := range bothProtocols {
			if !tt.quota {
				w = w.with(bare)
			}
			t.Run(tt.name+" "+w.String(), func(t *testing.T) {
				var requests atomic.Int64
				tr := connect(t, w, front(t, func(rw http.ResponseWriter, r *http.Request) {
					if requests.Add(1)%200 == 0 {
						tt.bad(rw, r)
						return
					}
					pass(rw, tt.quota)
				}))
				_, closed := tr.run(300)
				requests.Store(0)
				_, open := tr.paced(pace{every: time.Microsecond, calls: 300}, sleepUntil)
				for _, want := range tt.want {
					for name, err := range map[string]error{"closed": closed, "open": open} {
						if err == nil || !strings.Contains(err.Error(), want) {
							t.Errorf("%s loop: got %v, want an error with %q", name, err, want)
						}
					}
				}
			})
		}
	}
}

func TestADeadEnvoyEndsTheChain(t *testing.T) {
	for _, w := range bothProtocols {
		var requests atomic.Int64
		tr := connect(t, w, front(t, func(rw http.ResponseWriter, _ *http.Request) {
			if requests.Add(1) == 100 {
				panic(http.ErrAbortHandler)
			}
			pass(rw, true)
		}))
		if _, err := tr.run(300); err == nil {
			t.Errorf("%s: a request without an answer passed", w)
		}
	}
}
