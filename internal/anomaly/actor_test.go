package anomaly

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store/memory"
)

// scene is an Actor over a store in memory, and what it has done.
type scene struct {
	*Actor
	*memory.Store
	log bytes.Buffer

	mu        sync.Mutex
	failing   int // guarded by mu: so many writes fail
	writes    int // guarded by mu
	forgotten []string
	counted   []string
}

var errStore = errors.New("the disk is full")

func (s *scene) UpdateCredential(ctx context.Context, api, tenant, id string, unique bool, change func(*sallyport.Credential) error) (*sallyport.Credential, error) {
	s.mu.Lock()
	s.writes++
	failing := s.failing > 0
	s.failing--
	s.mu.Unlock()
	if failing {
		return nil, errStore
	}
	return s.Store.UpdateCredential(ctx, api, tenant, id, unique, change)
}

func (s *scene) ForgetCredential(id string) { s.forgotten = append(s.forgotten, id) }

func (s *scene) Acted(api, rule string, action sallyport.Action) {
	s.counted = append(s.counted, fmt.Sprintf("%s %s %s", api, rule, action))
}

func (s *scene) Lost(api, rule, why string) {
	s.counted = append(s.counted, fmt.Sprintf("%s %s lost: %s", api, rule, why))
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{Store: memory.New()}
	s.Actor = NewActor(s, s, s, slog.New(slog.NewTextHandler(&s.log, nil)))
	if err := s.CreateTenant(context.Background(), sallyport.Tenant{ID: "t1", API: "orders", Name: "t1", State: sallyport.Active, CreatedAt: time.Unix(1, 0)}); err != nil {
		t.Fatal(err)
	}
	for i, id := range []string{"key_1", "key_2"} {
		n := sallyport.NewCredential{Credential: *key1(id), Digest: sallyport.Digest{byte(i + 1)}, Pepper: 1}
		n.Principal, n.Prefix, n.CreatedAt = id, "ord_", time.Unix(1, 0)
		if err := s.CreateCredential(context.Background(), n); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *scene) credential(t *testing.T, id string) *sallyport.Credential {
	t.Helper()
	c, err := s.Credential(context.Background(), "orders", "t1", id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func crossing(id string, action sallyport.Action) Crossing {
	return Crossing{
		API: "orders", Tenant: "t1", Credential: id, Count: 201,
		Rule: sallyport.Anomaly{Name: "refused", Of: sallyport.MeasureRefusals, Over: 200, In: 10 * time.Minute, Action: action},
	}
}

// A4: what a rule says is done, and its reason is in the log and with the
// credential; what was done already is not done again.
func TestWhatRulesAskFor(t *testing.T) {
	const cause = "anomaly refused: 201 refusals in 10m"
	for name, c := range map[string]struct {
		before  sallyport.State
		epoch   uint64 // of the crossing
		action  sallyport.Action
		foreign bool
		id      string
		state   sallyport.State
		cause   string
		counted string
	}{
		"alert":                    {sallyport.Active, 0, sallyport.ActionAlert, false, "key_1", sallyport.Active, "", "alert"},
		"disable":                  {sallyport.Active, 0, sallyport.ActionDisable, false, "key_1", sallyport.Disabled, cause, "disable"},
		"revoke":                   {sallyport.Active, 0, sallyport.ActionRevoke, false, "key_1", sallyport.Revoked, cause, "revoke"},
		"revoke what is disabled":  {sallyport.Disabled, 0, sallyport.ActionRevoke, false, "key_1", sallyport.Revoked, cause, "revoke"},
		"disable what is disabled": {sallyport.Disabled, 0, sallyport.ActionDisable, false, "key_1", sallyport.Disabled, "", ""},
		"disable what is revoked":  {sallyport.Revoked, 0, sallyport.ActionDisable, false, "key_1", sallyport.Revoked, "", ""},
		"revoke what is revoked":   {sallyport.Revoked, 0, sallyport.ActionRevoke, false, "key_1", sallyport.Revoked, "", ""},
		"of before it was enabled": {sallyport.Active, 1, sallyport.ActionDisable, false, "key_1", sallyport.Active, "", ""},
		"an outside issuer's":      {sallyport.Active, 0, sallyport.ActionRevoke, true, "key_1", sallyport.Active, "", "alert"},
		"one that has gone":        {sallyport.Active, 0, sallyport.ActionRevoke, false, "key_9", sallyport.Active, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			if c.before != sallyport.Active {
				s.Store.UpdateCredential(context.Background(), "orders", "t1", "key_1", false, func(k *sallyport.Credential) error {
					k.State = c.before
					return nil
				})
			}
			x := crossing(c.id, c.action)
			x.Foreign, x.Epoch = c.foreign, c.epoch
			s.act(t.Context(), x)
			if got := s.credential(t, "key_1"); got.State != c.state || got.Cause != c.cause {
				t.Errorf("%v, %q, want %v, %q", got.State, got.Cause, c.state, c.cause)
			}
			if other := s.credential(t, "key_2"); other.State != sallyport.Active {
				t.Errorf("another is %v", other.State)
			}
			var counted []string
			line := ""
			if c.counted != "" {
				counted = []string{"orders refused " + c.counted}
				line = `level=WARN msg="anomalous use" api=orders tenant=t1 credential=key_1 rule=refused measure=refusals count=201 over=200 in=10m action=` + c.counted + "\n"
			}
			if !slices.Equal(s.counted, counted) {
				t.Errorf("counted %q, want %q", s.counted, counted)
			}
			if _, got, _ := strings.Cut(s.log.String(), " "); got != line {
				t.Errorf("log %q, want %q", got, line)
			}
			if wrote := s.writes > 0; wrote != (len(s.forgotten) > 0) || wrote == (x.Foreign || c.action == sallyport.ActionAlert) {
				t.Errorf("%d writes, told %q", s.writes, s.forgotten)
			}
		})
	}
}

// A store that fails is asked again a few times, and then that is told.
func TestAStoreThatFailsIsAskedAgain(t *testing.T) {
	for failing, want := range map[int]string{3: "orders refused disable", 4: "orders refused lost: store"} {
		synctest.Test(t, func(t *testing.T) {
			s := newScene(t)
			s.failing = failing
			s.act(t.Context(), crossing("key_1", sallyport.ActionDisable))
			if !slices.Equal(s.counted, []string{want}) || s.writes != 4 || len(s.forgotten) != 4 {
				t.Errorf("%d failures: %q after %d writes, told %d times", failing, s.counted, s.writes, len(s.forgotten))
			}
			if state := s.credential(t, "key_1").State; (state == sallyport.Disabled) != (failing < 4) {
				t.Errorf("%d failures: %v", failing, state)
			}
			if failed := strings.Contains(s.log.String(), `level=ERROR`) && strings.Contains(s.log.String(), `error="the disk is full"`); failed != (failing == 4) {
				t.Errorf("%d failures: %s", failing, s.log.String())
			}
		})
	}
}

// Taking does not block; what is too much is told. At the end all that waits is
// done, once, with no pause.
func TestTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.Take(crossing("key_1", sallyport.ActionRevoke))
		for range maxWaiting {
			s.Take(crossing("key_2", sallyport.ActionAlert))
		}
		if !slices.Equal(s.counted, []string{"orders refused lost: queue"}) || !strings.Contains(s.log.String(), "level=ERROR") {
			t.Errorf("counted %q\n%s", s.counted, s.log.String())
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.Run(ctx)
		if len(s.counted) != 1+maxWaiting || s.credential(t, "key_1").State != sallyport.Revoked {
			t.Errorf("%d counted, %v", len(s.counted), s.credential(t, "key_1").State)
		}
		ctx, cancel = context.WithCancel(context.Background())
		go s.Run(ctx)
		s.Take(crossing("key_2", sallyport.ActionDisable))
		synctest.Wait()
		if state := s.credential(t, "key_2").State; state != sallyport.Disabled {
			t.Errorf("while it runs: %v", state)
		}
		cancel()
		synctest.Wait()
	})
}

// Of what one request crosses, the gravest is told first.
func TestTheGravestFirst(t *testing.T) {
	rules := []sallyport.Anomaly{
		rule(sallyport.MeasureRequests, 1, sallyport.ActionAlert), rule(sallyport.MeasureRefusals, 1, sallyport.ActionRevoke), rule(sallyport.MeasureNetworks, 1, sallyport.ActionDisable),
	}
	h := newHarness(rules...)
	h.request(key1("key_1"), "192.0.2.1", true)
	h.request(key1("key_1"), "192.0.3.1", true)
	h.want(t, "three at once", "key_1 refusals 2", "key_1 networks 2", "key_1 requests 2")
}
