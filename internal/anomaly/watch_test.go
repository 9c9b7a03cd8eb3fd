package anomaly

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// harness is a Watch at a time of its own, and what it has told.
type harness struct {
	*Watch
	now  time.Time
	api  *sallyport.API
	mu   sync.Mutex
	told []Crossing // guarded by mu
}

func newHarness(rules ...sallyport.Anomaly) *harness {
	h := &harness{now: time.Unix(1_800_000_000, 0), api: &sallyport.API{Name: "orders", Anomalies: rules}}
	h.Watch = New(func(c Crossing) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.told = append(h.told, c)
	})
	return h
}

func (h *harness) pass(d time.Duration) { h.now = h.now.Add(d) }

// crossings returns what was told since it was asked last.
func (h *harness) crossings() (all []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.told {
		all = append(all, fmt.Sprintf("%s %s %d", c.Credential, c.Rule.Name, c.Count))
	}
	h.told = nil
	return all
}

func (h *harness) record(c *sallyport.Credential, address string, why sallyport.Reason) {
	h.Record(&sallyport.Decision{API: h.api, Credential: c, Reason: why, At: h.now, Address: address}, 0)
}

func (h *harness) request(c *sallyport.Credential, address string, refused bool) {
	why := sallyport.Allowed
	if refused {
		why = sallyport.ScopeMissing
	}
	h.record(c, address, why)
}

// refusedLater is what the rate limit service tells of a request.
func (h *harness) refusedLater(id string) {
	h.Refused(&sallyport.Decision{
		API: h.api, Reason: sallyport.QuotaExhausted, At: h.now, Subject: sallyport.Subject{API: "orders", Tenant: "t1", Credential: id},
	})
}

func (h *harness) want(t *testing.T, when string, want ...string) {
	t.Helper()
	if got := h.crossings(); !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", when, got, want)
	}
}

var t1 = &sallyport.Tenant{ID: "t1", API: "orders", State: sallyport.Active}

func key1(id string) *sallyport.Credential {
	return &sallyport.Credential{ID: id, API: "orders", Tenant: t1, Kind: sallyport.KindKey, State: sallyport.Active}
}

func rule(of sallyport.Measure, over uint64, action sallyport.Action) sallyport.Anomaly {
	return sallyport.Anomaly{Name: of.String(), Of: of, Over: over, In: time.Minute, Action: action}
}

const here = "192.0.2.7"

// A4: what is a refusal of a good credential, and what is nothing.
func TestWhatCounts(t *testing.T) {
	rules := []sallyport.Anomaly{
		rule(sallyport.MeasureRefusals, 1, sallyport.ActionAlert), rule(sallyport.MeasureRequests, 1, sallyport.ActionAlert),
	}
	const nothing, request, refusal = "[]", `["key_1 requests 2"]`, `["key_1 refusals 2" "key_1 requests 2"]`
	want := map[sallyport.Reason]string{
		sallyport.Allowed: request, sallyport.Answered: request,
		sallyport.AddressRefused: refusal, sallyport.TenantForeign: refusal, sallyport.ScopeMissing: refusal, sallyport.AccessReadOnly: refusal,
		sallyport.CategoryOff: refusal, sallyport.MediaUnacceptable: refusal, sallyport.MediaUnsupported: refusal,
		sallyport.QuotaExhausted: refusal, sallyport.ConcurrencyExhausted: refusal,
		sallyport.PathMalformed: refusal, sallyport.RequestMalformed: refusal, sallyport.OperationUnlisted: refusal,
		sallyport.HostUnlisted: refusal, sallyport.SandboxUnlisted: refusal,
	}
	for _, why := range sallyport.Reasons() {
		if why == sallyport.Preflight {
			continue // carries no credential
		}
		h := newHarness(rules...)
		h.record(key1("key_1"), here, why)
		h.record(key1("key_1"), here, why)
		got := fmt.Sprintf("%q", h.crossings())
		if w, ok := want[why]; !ok && got != nothing || ok && got != w {
			t.Errorf("%v: %s", why, got)
		}
		h.record(nil, here, why)
		h.record(nil, here, why)
		h.want(t, why.String()+" of nobody")
	}
}

func TestShadowModeRefusesNobody(t *testing.T) {
	h := newHarness(rule(sallyport.MeasureRefusals, 1, sallyport.ActionAlert), rule(sallyport.MeasureRequests, 1, sallyport.ActionAlert))
	for _, c := range []struct {
		shadowed sallyport.Reason
		want     []string
	}{
		{sallyport.ScopeMissing, []string{"key_1 requests 2"}},
		{sallyport.CredentialRevoked, nil},
		{sallyport.StoreFailed, nil},
	} {
		for range 2 {
			h.Record(&sallyport.Decision{API: h.api, Credential: key1("key_1"), Reason: sallyport.Allowed, Shadowed: c.shadowed, At: h.now}, 0)
		}
		h.want(t, c.shadowed.String(), c.want...)
		h.pass(time.Hour)
	}
}

// An API without rules is not touched, nor is a sender of webhooks.
func TestWhoIsNotWatched(t *testing.T) {
	h := newHarness()
	for range 5 {
		h.request(key1("key_1"), here, true)
		h.refusedLater("key_1")
	}
	for i := range h.shards {
		if len(h.shards[i].known) > 0 {
			t.Fatal("an API without rules is watched")
		}
	}
	h = newHarness(rule(sallyport.MeasureRequests, 1, sallyport.ActionRevoke), rule(sallyport.MeasureRefusals, 1, sallyport.ActionRevoke))
	sender := key1("stripe")
	sender.Kind = sallyport.KindWebhook
	for range 5 {
		h.request(sender, here, true)
		h.refusedLater("stripe")
	}
	h.want(t, "a sender")
}

func TestEachCrossingIsToldOnce(t *testing.T) {
	h := newHarness(rule(sallyport.MeasureRefusals, 3, sallyport.ActionDisable))
	refuse := func(times int) {
		for range times {
			h.request(key1("key_1"), here, true)
			h.request(key1("key_2"), here, false)
		}
	}
	refuse(3)
	h.want(t, "as many as are allowed")
	refuse(1)
	h.want(t, "one more", "key_1 refusals 4")
	refuse(5)
	h.want(t, "still over")
	h.pass(time.Minute)
	refuse(3)
	h.want(t, "a minute later")
	refuse(1)
	h.want(t, "crossed again", "key_1 refusals 4")
	for range 80 { // never below: told again when the minute has passed, in whose slices are 59
		h.pass(time.Second)
		refuse(1)
	}
	h.want(t, "steadily over", "key_1 refusals 59")
}

// A4: a network is an IPv4 /24 or an IPv6 /48.
func TestNetworks(t *testing.T) {
	for name, c := range map[string]struct {
		addresses []string
		networks  int
	}{
		"one IPv4 /24":          {[]string{"192.0.2.1", "192.0.2.255", "::ffff:192.0.2.9"}, 1},
		"two of IPv4":           {[]string{"192.0.2.1", "192.0.3.1"}, 2},
		"one IPv6 /48":          {[]string{"2001:db8:1:2::3", "2001:db8:1:ffff::1", "2001:db8:1::1%eth0"}, 1},
		"two of IPv6":           {[]string{"2001:db8:1::1", "2001:db8:2::1"}, 2},
		"of both families":      {[]string{"0.0.0.1", "::1"}, 2},
		"not of any":            {[]string{"", "nonsense", "192.0.2.1:80", "192.0.2.0/24"}, 0},
		"seen again and again":  {[]string{"192.0.2.1", "192.0.3.1", "192.0.2.1", "192.0.3.1"}, 2},
		"the same in two forms": {[]string{"2001:db8:0:0:0:0:0:1", "2001:db8::1"}, 1},
	} {
		for over := 1; over < 4; over++ {
			h := newHarness(rule(sallyport.MeasureNetworks, uint64(over), sallyport.ActionAlert))
			for _, a := range c.addresses {
				h.request(key1("key_1"), a, false)
			}
			if got := len(h.crossings()) > 0; got != (c.networks > over) {
				t.Errorf("%s: over %d is %v", name, over, got)
			}
		}
	}
}

// A token counts for what it was made from; an outside issuer's for itself, and
// never for a key here that has the same id.
func TestTokensCountForTheirParents(t *testing.T) {
	h := newHarness(rule(sallyport.MeasureRefusals, 3, sallyport.ActionDisable))
	token := func(id, parent string) *sallyport.Credential {
		c := key1(id)
		c.Kind, c.Token = sallyport.KindToken, &sallyport.Token{ID: "jti", Parent: parent}
		return c
	}
	h.request(token("client_1", "client_1"), here, true)
	h.request(token("client_1", "client_1"), here, true)
	h.request(token("client_2", "client_2"), here, true)
	h.request(key1("client_1"), here, true)
	h.refusedLater("client_1")
	h.want(t, "a client's tokens", "client_1 refusals 4")

	// Grants are known to the rate limit service by client and user.
	for range 2 {
		h.request(token("client_1/ana", "grant_1"), here, true)
		h.refusedLater("client_1/ana")
	}
	h.want(t, "a grant's tokens", "grant_1 refusals 4")
	for range 3 {
		h.request(token("client_1/ana", "grant_2"), here, true)
		h.refusedLater("client_1/ben")
	}
	h.want(t, "another grant's")
	h.refusedLater("client_1/ana")
	h.want(t, "the grant used last", "grant_2 refusals 4")

	for range 4 {
		h.request(token("key_1", ""), here, true)
		h.request(key1("key_2"), here, false)
	}
	if len(h.told) != 1 || !h.told[0].Foreign || h.told[0].Credential != "key_1" {
		t.Errorf("an outside issuer's: %+v", h.told)
	}
	h.crossings()
	for range 3 {
		h.request(key1("key_1"), here, true)
	}
	h.want(t, "a key of the same name")
}

// What the rate limit service refuses counts for whom a Check has told of alone,
// and for whose it was.
func TestRefusalsOfTheRateLimitService(t *testing.T) {
	h := newHarness(rule(sallyport.MeasureRefusals, 1, sallyport.ActionDisable), rule(sallyport.MeasureRequests, 1, sallyport.ActionAlert))
	h.refusedLater("key_1")
	h.refusedLater("key_1")
	h.want(t, "nobody known")
	h.request(key1("key_1"), here, false)
	for range 2 {
		h.Refused(&sallyport.Decision{API: h.api, Reason: sallyport.QuotaExhausted, At: h.now, Subject: sallyport.Subject{Tenant: "t2", Credential: "key_1"}})
		h.Refused(&sallyport.Decision{API: h.api, Reason: sallyport.CountersFailed, At: h.now, Subject: sallyport.Subject{Tenant: "t1", Credential: "key_1"}})
		h.Refused(&sallyport.Decision{Reason: sallyport.QuotaExhausted, At: h.now, Subject: sallyport.Subject{Tenant: "t1", Credential: "key_1"}})
	}
	h.want(t, "another tenant's, our own failure, no API")
	h.refusedLater("key_1")
	h.refusedLater("key_1")
	h.want(t, "its own, of one request", "key_1 refusals 2")
}

// Undone by an administrator, or otherwise given a new beginning, a credential
// begins with nothing counted; what is late from before does not count.
func TestAChangeBeginsAnew(t *testing.T) {
	h := newHarness(rule(sallyport.MeasureRefusals, 2, sallyport.ActionDisable), rule(sallyport.MeasureNetworks, 1, sallyport.ActionAlert))
	before, after := key1("key_1"), key1("key_1")
	after.Epoch = 1
	for range 3 {
		h.request(before, here, true)
	}
	h.want(t, "before", "key_1 refusals 3")
	h.request(after, "198.51.100.1", true)
	for range 9 {
		h.request(before, here, true)
	}
	h.request(after, "198.51.100.1", true)
	h.want(t, "after")
	h.request(after, "198.51.100.1", true)
	if len(h.told) != 1 || h.told[0].Epoch != 1 {
		t.Errorf("crossed again: %+v", h.told)
	}
}

// A reload keeps what is counted under rules whose name and measure stay.
func TestAReloadKeepsCounts(t *testing.T) {
	refusals, networks, requests := rule(sallyport.MeasureRefusals, 9, sallyport.ActionAlert), rule(sallyport.MeasureNetworks, 9, sallyport.ActionAlert), rule(sallyport.MeasureRequests, 9, sallyport.ActionAlert)
	h := newHarness(refusals, networks, requests)
	use := func() {
		h.request(key1("key_1"), fmt.Sprintf("192.0.%d.1", h.now.Unix()%256), true)
		h.pass(time.Second)
	}
	for range 5 {
		use()
	}
	refusals.Over, networks.Over, networks.In, requests.Over = 5, 5, time.Hour, 5
	requests.Name = "another"
	h.api = &sallyport.API{Name: "orders", Anomalies: []sallyport.Anomaly{networks, requests, refusals}}
	use()
	h.want(t, "two kept, one new", "key_1 networks 6", "key_1 refusals 6")
	refusals.In, refusals.Over = 2*time.Minute, 6
	h.api = &sallyport.API{Name: "orders", Anomalies: []sallyport.Anomaly{refusals}}
	h.pass(50 * time.Second)
	use()
	h.want(t, "another length", "key_1 refusals 7")
	refusals.In, refusals.Over = 10*time.Second, 1
	h.api = &sallyport.API{Name: "orders", Anomalies: []sallyport.Anomaly{refusals}}
	h.pass(2 * time.Second)
	use()
	h.want(t, "a shorter one, in which two are", "key_1 refusals 2")
}

// The clock may be set back: nothing is lost by it, and nothing breaks.
func TestTheClockIsSetBack(t *testing.T) {
	h := newHarness(rule(sallyport.MeasureRefusals, 2, sallyport.ActionAlert), rule(sallyport.MeasureNetworks, 2, sallyport.ActionAlert))
	for i := range 3 {
		h.request(key1("key_1"), fmt.Sprintf("192.0.%d.1", i), true)
		h.pass(-time.Hour)
	}
	h.want(t, "set back", "key_1 refusals 3", "key_1 networks 3")
}

// What is remembered is bounded, and the idlest are forgotten first.
func TestMemoryIsBounded(t *testing.T) {
	h := newHarness(rule(sallyport.MeasureRefusals, 1, sallyport.ActionAlert))
	one := key1("key_one")
	h.request(one, here, true)
	for i := range 2 * maxCredentials {
		h.request(key1(fmt.Sprintf("key_%d", i)), here, true)
		if i%100 == 0 {
			h.request(one, here, false)
		}
	}
	total := 0
	for i := range h.shards {
		total += len(h.shards[i].known)
	}
	if total != maxCredentials {
		t.Errorf("%d credentials are remembered, want %d", total, maxCredentials)
	}
	h.request(one, here, true)
	h.want(t, "one that is used", "key_one refusals 2")
	h.request(key1("key_0"), here, true)
	h.want(t, "one that was not")

	h.Sweep(h.now.Add(time.Minute))
	total = 0
	for i := range h.shards {
		total += len(h.shards[i].known)
	}
	if total != maxCredentials {
		t.Errorf("%d credentials are remembered while their events count", total)
	}
	h.Sweep(h.now.Add(time.Minute + 1))
	for i := range h.shards {
		if s := &h.shards[i]; len(s.known) > 0 || s.newest != nil || s.idlest != nil || s.networks != 0 {
			t.Errorf("shard %d is not empty: %d", i, len(s.known))
		}
	}
}

// Many networks are bounded over all credentials.
func TestNetworksAreBounded(t *testing.T) {
	h := newHarness(rule(sallyport.MeasureNetworks, 9_999, sallyport.ActionAlert))
	s := h.shard("key_0")
	var ids []string
	for i := 0; len(ids) < 3; i++ {
		if id := fmt.Sprintf("key_%d", i); h.shard(id) == s {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		for i := range 9_000 {
			h.request(key1(id), fmt.Sprintf("10.%d.%d.1", i/256, i%256), false)
		}
		sum := 0
		for _, e := range s.known {
			sum += e.size()
		}
		if s.networks != sum || sum > maxNetworks/shards {
			t.Errorf("%d networks, %d noted", sum, s.networks)
		}
	}
	if len(s.known) != 1 || s.newest.id != ids[2] {
		t.Errorf("%d credentials are left", len(s.known))
	}
}

// A known credential costs no memory.
func TestRecordDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	h := newHarness(rule(sallyport.MeasureNetworks, 8, sallyport.ActionAlert), rule(sallyport.MeasureRefusals, 200, sallyport.ActionAlert), rule(sallyport.MeasureRequests, 1, sallyport.ActionAlert))
	c := key1("client_1/ana")
	c.Token = &sallyport.Token{Parent: "grant_1"}
	d := &sallyport.Decision{API: h.api, Credential: c, Reason: sallyport.Allowed, Address: here}
	refused := &sallyport.Decision{API: h.api, Reason: sallyport.QuotaExhausted, Subject: sallyport.Subject{Tenant: "t1", Credential: "client_1/ana"}}
	step := func() {
		h.pass(time.Millisecond)
		d.At, refused.At = h.now, h.now
		h.Record(d, 0)
		h.Refused(refused)
	}
	step()
	step()
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// Many at once: for the race detector.
func TestManyAtOnce(t *testing.T) {
	h := newHarness(rule(sallyport.MeasureNetworks, 8, sallyport.ActionAlert), rule(sallyport.MeasureRefusals, 399, sallyport.ActionAlert))
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for n := range 200 {
				h.request(key1("key_1"), fmt.Sprintf("192.0.%d.1", n%3), n%2 == 0)
				h.request(key1(fmt.Sprintf("key_%d_%d", i, n)), here, true)
				h.refusedLater("key_1")
				h.Sweep(h.now)
			}
		})
	}
	group.Wait()
	h.want(t, "1,200 refusals", "key_1 refusals 400")
}

func BenchmarkRecord(b *testing.B) {
	for name, rules := range map[string][]sallyport.Anomaly{
		"none":  nil,
		"three": {rule(sallyport.MeasureNetworks, 8, sallyport.ActionAlert), rule(sallyport.MeasureRefusals, 200, sallyport.ActionAlert), rule(sallyport.MeasureRequests, 1_000_000, sallyport.ActionAlert)},
	} {
		b.Run(name, func(b *testing.B) {
			h := newHarness(rules...)
			d := &sallyport.Decision{API: h.api, Credential: key1("key_1"), Reason: sallyport.Allowed, Address: here}
			b.ReportAllocs()
			for b.Loop() {
				h.pass(time.Microsecond)
				d.At = h.now
				h.Record(d, 0)
			}
		})
	}
}
