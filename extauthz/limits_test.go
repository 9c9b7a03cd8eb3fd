package extauthz

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// lent is Slots that remember what they were asked.
type lent struct {
	full *sallyport.Limit
	err  error
	held map[string]int
	wait time.Duration // that the latest Hold could have taken
}

func (l *lent) Hold(_ context.Context, _ time.Time, sid string, _ *sallyport.Subject, limits []*sallyport.Limit) (*sallyport.Limit, error) {
	l.wait = 0
	for _, limit := range limits {
		l.wait = max(l.wait, limit.Wait)
	}
	if l.full == nil && l.err == nil {
		l.held[sid] = len(limits)
	}
	return l.full, l.err
}

func (l *lent) InFlight(*sallyport.Limit, *sallyport.Subject) int { return 0 }

func (l *lent) Free(sid string) { delete(l.held, sid) }

// newSlotGate is a gate where requests hold slots.
func newSlotGate(t *testing.T, chain sallyport.Chain) (*gate, *lent) {
	g, slots := newGate(t), &lent{held: make(map[string]int)}
	g.slots = slots
	g.policy.Chain = chain
	api := g.policy.APIs[0]
	api.Limits = append(api.Limits, &sallyport.Limit{Name: "in-flight", Per: []string{"credential", "operation"}, Concurrency: 5})
	g.enforce()
	return g, slots
}

// H4: a slot is held by what goes on to the upstream, and by nothing else.
func TestWhoHoldsASlot(t *testing.T) {
	for _, chain := range []sallyport.Chain{sallyport.Paired, sallyport.Fused} {
		g, slots := newSlotGate(t, chain)
		key := g.key()
		for i, test := range []struct {
			path   string
			reason sallyport.Reason
			holds  bool
		}{
			{"/v1/orders", sallyport.Allowed, true},
			{"/v1/verify", sallyport.Answered, false},
			{"/v1/unlisted", sallyport.OperationUnlisted, false},
			{"/v1/tenants/other/orders", sallyport.TenantForeign, false},
		} {
			sid := fmt.Sprint("sid-", i)
			d := g.decide(get(test.path, "x-api-key", key, "x-sallyport-sid", sid))
			if d.Reason != test.reason || d.Lease != test.holds || (slots.held[sid] == 1) != test.holds {
				t.Errorf("%v %s: %v, lease %v, held %v", chain, test.path, d.Reason, d.Lease, slots.held)
			}
		}
	}
}

// H4: what is refused after all gives its slot back.
func TestARefusalGivesItsSlotBack(t *testing.T) {
	g, slots := newSlotGate(t, sallyport.Fused)
	key := g.key()
	for i := range 4 {
		d := g.decide(get("/v1/orders", "x-api-key", key, "x-sallyport-sid", fmt.Sprint("sid-", i)))
		if want := i < 3; d.Lease != want || (d.Reason == sallyport.Allowed) != want {
			t.Errorf("request %d: %v, lease %v", i, d.Reason, d.Lease)
		}
	}
	if len(slots.held) != 3 {
		t.Errorf("held: %v", slots.held)
	}
	g.counters.err = errors.New("down")
	if d := g.decide(get("/v1/orders", "x-api-key", key, "x-sallyport-sid", "x")); d.Reason != sallyport.CountersFailed || d.Lease || slots.held["x"] != 0 {
		t.Errorf("counters down: %v, lease %v", d.Reason, d.Lease)
	}
}

// H4: the one too many is refused and spends no quota.
func TestNoSlotNoQuota(t *testing.T) {
	g, slots := newSlotGate(t, sallyport.Fused)
	key := g.key()
	slots.full = &sallyport.Limit{Name: "in-flight"}
	d := g.decide(get("/v1/orders", "x-api-key", key, "x-sallyport-sid", "a"))
	if d.Reason != sallyport.ConcurrencyExhausted || d.Lease || d.Verdict.Remaining != 3 || !d.Verdict.Known {
		t.Errorf("%v, lease %v, %+v", d.Reason, d.Lease, d.Verdict)
	}
	slots.full, slots.err = nil, errors.New("down")
	if d := g.decide(get("/v1/orders", "x-api-key", key, "x-sallyport-sid", "a")); d.Reason != sallyport.CountersFailed {
		t.Errorf("slots down: %v", d.Reason)
	}
	g.policy.APIs[0].OnFailure.QuotaOpen = true
	g.enforce()
	if d := g.decide(get("/v1/orders", "x-api-key", key, "x-sallyport-sid", "a")); d.Reason != sallyport.Allowed || d.Lease {
		t.Errorf("slots down, open: %v, lease %v", d.Reason, d.Lease)
	}
}

// Where a refusal would not count, nobody waits for the slot that it would be for.
func TestNobodyWaitsInShadowMode(t *testing.T) {
	const patience = time.Second
	for name, test := range map[string]struct {
		shadow func(*sallyport.API)
		wait   time.Duration
	}{
		"in force":            {func(*sallyport.API) {}, patience},
		"API in shadow":       {func(api *sallyport.API) { api.Shadow = true }, 0},
		"operation in shadow": {func(api *sallyport.API) { api.Operations[0].Shadow = true }, 0},
		"another in shadow":   {func(api *sallyport.API) { api.Operations[1].Shadow = true }, patience},
	} {
		g, slots := newSlotGate(t, sallyport.Fused)
		api := g.policy.APIs[0]
		limit := api.Limits[len(api.Limits)-1]
		limit.Wait = patience
		test.shadow(api)
		g.enforce()
		d := g.decide(get("/v1/orders", "x-api-key", g.key(), "x-sallyport-sid", "a"))
		if d.Reason != sallyport.Allowed || !d.Lease || slots.held["a"] != 1 || slots.wait != test.wait {
			t.Errorf("%s: %v, lease %v, held %v, would wait %v, want %v", name, d.Reason, d.Lease, slots.held, slots.wait, test.wait)
		}
		slots.full = limit
		d = g.decide(get("/v1/orders", "x-api-key", g.key(), "x-sallyport-sid", "b"))
		if passed := test.wait == 0; (d.Reason == sallyport.Allowed) != passed || (d.Shadowed == sallyport.ConcurrencyExhausted) != passed || slots.wait != test.wait {
			t.Errorf("%s, full: %v, in shadow %v, would wait %v, want %v", name, d.Reason, d.Shadowed, slots.wait, test.wait)
		}
		if limit.Wait != patience {
			t.Errorf("%s: the policy's own limit was changed", name)
		}
	}
}

// Without a name for the stream nothing could ever release its slot.
func TestASlotNeedsAStream(t *testing.T) {
	g, _ := newSlotGate(t, sallyport.Fused)
	key := g.key()
	if d := g.decide(get("/v1/orders", "x-api-key", key)); d.Reason != sallyport.StreamUnnamed {
		t.Errorf("no sid: %v", d.Reason)
	}
	if d := g.decide(get("/v1/orders", "x-api-key", key, "x-sallyport-sid", "a", "x-sallyport-sid", "b")); d.Reason != sallyport.StreamUnnamed {
		t.Errorf("two sids: %v", d.Reason)
	}
	req := get("/v1/orders", "x-api-key", key, "x-sallyport-sid", "a")
	req.Chain = sallyport.PerListener
	if d := g.decide(req); d.Reason != sallyport.StreamUnnamed {
		t.Errorf("a sid of nobody's: %v", d.Reason)
	}
}

// A request may say what it weighs, but never nothing, and never more than the
// most; what cannot be read is refused.
func TestWeights(t *testing.T) {
	g := newGate(t)
	g.policy.APIs[0].Operations[0].Cost = sallyport.Cost{Request: "x-cost", Max: 50}
	g.policy.APIs[0].Operations[0].Weight = 2
	g.policy.APIs[0].Limits[0].Plans["big"] = sallyport.Windows{List: []sallyport.Window{{Max: 1000, Length: time.Minute}}}
	g.enforce()
	key := g.key()
	left := uint64(1000)
	for _, test := range []struct {
		header []string
		reason sallyport.Reason
		hits   uint64
	}{
		{nil, sallyport.Allowed, 2},
		{[]string{"7"}, sallyport.Allowed, 7},
		{[]string{"0"}, sallyport.Allowed, 1},
		{[]string{"50"}, sallyport.Allowed, 50},
		{[]string{"51"}, sallyport.Allowed, 50},
		{[]string{"99999999999999999999999"}, sallyport.Allowed, 50},
		{[]string{""}, sallyport.RequestMalformed, 0},
		{[]string{"-1"}, sallyport.RequestMalformed, 0},
		{[]string{"+1"}, sallyport.RequestMalformed, 0},
		{[]string{"1.5"}, sallyport.RequestMalformed, 0},
		{[]string{"1", "1"}, sallyport.RequestMalformed, 0},
	} {
		headers := []string{"x-api-key", key}
		for _, h := range test.header {
			headers = append(headers, "x-cost", h)
		}
		d := g.decide(get("/v1/orders", headers...))
		left -= test.hits
		if d.Reason != test.reason || d.Verdict.Remaining != left {
			t.Errorf("%q: %v, %d left, want %v and %d", test.header, d.Reason, d.Verdict.Remaining, test.reason, left)
		}
	}
}

// What the rate limit service and the access log are told of weights and slots.
func TestMetadataOfWeightsAndSlots(t *testing.T) {
	g, _ := newSlotGate(t, sallyport.Paired)
	g.policy.APIs[0].Operations[0].Cost = sallyport.Cost{Request: "x-cost", Response: "x-tokens", Max: 50}
	g.enforce()
	key := g.key()
	told := func(req sallyport.Request) map[string]string {
		c := newCall()
		defer c.Release()
		c.Request = req
		rules := g.rules.Load()
		g.Authorizer.decide(context.Background(), rules, &c.Request, &c.Decision)
		rules.answer(c)
		all := map[string]string{}
		for _, m := range c.reply.Metadata {
			all[m.Name] = clone(m.Value)
		}
		return all
	}
	m := told(get("/v1/orders", "x-api-key", key, "x-sallyport-sid", "a", "x-cost", "7"))
	if m["hits"] != "7" || m["cost"] != "x-tokens" || m["lease"] != "a" || m["limits"] != "requests=3/60s,100/3600s" {
		t.Errorf("metadata %v", m)
	}
	m = told(get("/v1/orders/1", "x-api-key", key, "x-sallyport-sid", "b"))
	if _, ok := m["hits"]; ok || m["cost"] != "" || m["lease"] != "b" {
		t.Errorf("metadata of an ordinary request %v", m)
	}
	m = told(get("/v1/unlisted", "x-api-key", key, "x-sallyport-sid", "c", "x-cost", "7"))
	if m["lease"] != "" || m["hits"] != "" || m["cost"] != "" {
		t.Errorf("metadata of a refusal %v", m)
	}
}
