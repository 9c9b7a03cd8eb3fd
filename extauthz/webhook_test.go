package extauthz

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/seal"
	"github.com/sallyport/sallyport/internal/webhook"
	"github.com/sallyport/sallyport/ratelimit"
)

// drawer is a SenderLoader over a map, which counts how often it is read.
type drawer struct {
	mu    sync.Mutex
	byID  map[string]*sallyport.Sender // guarded by mu
	err   error                        // guarded by mu
	reads atomic.Int64
	after func() // between the read and its return
}

func (d *drawer) Sender(ctx context.Context, api, id string) (*sallyport.Sender, error) {
	d.reads.Add(1)
	d.mu.Lock()
	s, err := d.byID[api+"/"+id], d.err
	d.mu.Unlock()
	if d.after != nil {
		d.after()
	}
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return nil, fmt.Errorf("sender: %w", sallyport.ErrNotFound)
	}
	return s, nil
}

func (d *drawer) put(s *sallyport.Sender) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byID == nil {
		d.byID = make(map[string]*sallyport.Sender)
	}
	d.byID[s.API+"/"+s.ID] = s
}

func (d *drawer) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// hooks is a gate with webhooks.
type hooks struct {
	*gate
	drawer *drawer
	clock  time.Time
}

func newHooks(t testing.TB) *hooks {
	t.Helper()
	h := &hooks{gate: newGate(t), drawer: new(drawer), clock: noon}
	h.now = func() time.Time { return h.clock }
	orders := h.policy.APIs[0]
	timed := sallyport.WebhookTimestamp{Header: "x-time", Tolerance: 5 * time.Minute, Signed: true}
	for path, w := range map[string]sallyport.Webhook{
		"/hooks/plain":         {Header: "x-signature", Sender: "acme", MaxBody: 100},
		"/hooks/of/{from}":     {Header: "x-signature", Parameter: "from", MaxBody: 100},
		"/hooks/github":        {Header: "x-hub", Sender: "acme", MaxBody: 100, Prefix: "sha256="},
		"/hooks/timed":         {Header: "x-signature", Sender: "acme", MaxBody: 100, Timestamp: timed},
		"/hooks/once":          {Header: "x-signature", Sender: "acme", MaxBody: 100, Timestamp: timed, Once: 10*time.Minute + time.Second},
		"/hooks/once/{from}":   {Header: "x-signature", Parameter: "from", MaxBody: 100, Timestamp: timed, Once: 10*time.Minute + time.Second},
		"/tenants/{t}/{from}":  {Header: "x-signature", Parameter: "from", MaxBody: 100},
		"/hooks/shadow/{from}": {Header: "x-signature", Parameter: "from", MaxBody: 100},
	} {
		op := operation("POST", path)
		op.Webhook = &w
		op.Shadow = strings.Contains(path, "shadow")
		if strings.HasPrefix(path, "/tenants") {
			op.Tenant = sallyport.TenantParameter{Path: "t"}
		}
		orders.Operations = append(orders.Operations, op)
	}
	h.enforce()
	senders, err := NewSenders(h.drawer, h.finder, h.hasher)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(senders.Close)
	h.AcceptWebhooks(senders)
	h.drawer.put(h.newSender("acme", "s3cret"))
	return h
}

// newSender returns a sender of the tenant t1 with these secrets.
func (h *hooks) newSender(id string, secrets ...string) *sallyport.Sender {
	s := &sallyport.Sender{ID: id, API: "orders", Tenant: credential("", sallyport.Active).Tenant, State: sallyport.Active}
	for _, secret := range secrets {
		s.Secrets = append(s.Secrets, sealed(h.hasher, id, secret))
	}
	return s
}

func sealed(by *apikey.Hasher, id, secret string) sallyport.SealedSecret {
	name := webhook.SealName("orders", id)
	return sallyport.SealedSecret{Sealed: seal.Seal(seal.Key(by.Derive(seal.Purpose)), name, []byte(secret)), Pepper: by.Version()}
}

// post is a request with body, signed by secret; with a timestamp, that is signed too.
func post(path, secret, body string, stamp ...string) sallyport.Request {
	r := sallyport.Request{Method: "POST", Host: "api.orders.test", Path: path, Source: "203.0.113.9", Body: body, Size: int64(len(body))}
	r.Headers = []sallyport.Header{{Name: "content-length", Value: strconv.Itoa(len(body))}, {Name: "x-request-id", Value: "r1"}}
	m := webhook.Message{Body: body}
	if len(stamp) > 0 {
		m.Stamp = stamp[0]
		r.Headers = append(r.Headers, sallyport.Header{Name: "x-time", Value: m.Stamp})
	}
	mac := webhook.Sign(webhook.NewSecret([]byte(secret)), m)
	r.Headers = append(r.Headers, sallyport.Header{Name: "x-signature", Value: webhook.Write(&sallyport.Webhook{}, mac)})
	return r
}

func (h *hooks) stamp() string { return strconv.FormatInt(h.clock.Unix(), 10) }

func with(r sallyport.Request, headers ...string) sallyport.Request {
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(slices.Clip(r.Headers), sallyport.Header{Name: headers[i], Value: headers[i+1]})
	}
	return r
}

func without(r sallyport.Request, name string) sallyport.Request {
	r.Headers = slices.DeleteFunc(slices.Clone(r.Headers), func(h sallyport.Header) bool { return h.Name == name })
	return r
}

// V9: who signed the body as it is counts as its tenant; everybody else is nobody.
func TestWhoSignsAWebhook(t *testing.T) {
	h := newHooks(t)
	h.drawer.put(h.newSender("rolling", "new", "old"))
	h.drawer.put(h.newSender("mute"))
	h.drawer.put(h.newSender("open", ""))
	ended := h.newSender("ended", "new", "old")
	ended.Secrets[1].ExpiresAt = noon
	h.drawer.put(ended)
	for state, id := range map[sallyport.State]string{sallyport.Disabled: "disabled", sallyport.Revoked: "revoked"} {
		s := h.newSender(id, "s3cret")
		s.State = state
		h.drawer.put(s)
	}
	suspended := h.newSender("suspended", "s3cret")
	suspended.Tenant = &sallyport.Tenant{ID: "t2", API: "orders", Plan: "big", State: sallyport.Disabled}
	h.drawer.put(suspended)
	long := strings.Repeat("x", 101)
	cut := post("/hooks/plain", "s3cret", long[:50])
	cut.Size = 60
	unsent := post("/hooks/plain", "s3cret", "")
	unsent.Size = 60
	github := post("/hooks/github", "s3cret", "{}")
	github.Headers[2] = sallyport.Header{Name: "x-hub", Value: "sha256=" + github.Headers[2].Value}
	for name, c := range map[string]struct {
		req  sallyport.Request
		want sallyport.Reason
	}{
		"the sender":                 {post("/hooks/plain", "s3cret", "{}"), sallyport.Allowed},
		"any bytes":                  {post("/hooks/plain", "s3cret", "\x00\xff\r\n"), sallyport.Allowed},
		"nothing":                    {post("/hooks/plain", "s3cret", ""), sallyport.Allowed},
		"by its path":                {post("/hooks/of/acme", "s3cret", "{}"), sallyport.Allowed},
		"behind a prefix":            {github, sallyport.Allowed},
		"as long as it may be":       {post("/hooks/plain", "s3cret", long[1:]), sallyport.Allowed},
		"a byte longer":              {post("/hooks/plain", "s3cret", long), sallyport.BodyTooLarge},
		"cut short":                  {cut, sallyport.BodyTooLarge},
		"a body that was not shown":  {unsent, sallyport.BodyUnsent},
		"no signature":               {without(post("/hooks/plain", "s3cret", "{}"), "x-signature"), sallyport.SignatureMissing},
		"two signatures":             {with(post("/hooks/plain", "s3cret", "{}"), "x-signature", strings.Repeat("0", 64)), sallyport.SignatureMalformed},
		"half a signature":           {with(without(post("/hooks/plain", "s3cret", "{}"), "x-signature"), "x-signature", "00"), sallyport.SignatureMalformed},
		"another secret":             {post("/hooks/plain", "secret", "{}"), sallyport.SignatureWrong},
		"no secret":                  {post("/hooks/plain", "", "{}"), sallyport.SignatureWrong},
		"another's secret":           {post("/hooks/of/rolling", "s3cret", "{}"), sallyport.SignatureWrong},
		"the new secret":             {post("/hooks/of/rolling", "new", "{}"), sallyport.Allowed},
		"the old secret":             {post("/hooks/of/rolling", "old", "{}"), sallyport.Allowed},
		"an old secret that ended":   {post("/hooks/of/ended", "old", "{}"), sallyport.SignatureWrong},
		"the one that stayed":        {post("/hooks/of/ended", "new", "{}"), sallyport.Allowed},
		"a sender without secrets":   {post("/hooks/of/mute", "", "{}"), sallyport.SignatureWrong},
		"an empty secret":            {post("/hooks/of/open", "", "{}"), sallyport.SignatureWrong},
		"nobody":                     {post("/hooks/of/nobody", "s3cret", "{}"), sallyport.CredentialUnknown},
		"nobody with so long a name": {post("/hooks/of/"+strings.Repeat("a", 300), "s3cret", "{}"), sallyport.CredentialUnknown},
		"another spelling":           {post("/hooks/of/ACME", "s3cret", "{}"), sallyport.CredentialUnknown},
		"an encoded one":             {post("/hooks/of/%61cme", "s3cret", "{}"), sallyport.PathMalformed},
		"a disabled sender":          {post("/hooks/of/disabled", "s3cret", "{}"), sallyport.CredentialDisabled},
		"a revoked sender":           {post("/hooks/of/revoked", "s3cret", "{}"), sallyport.CredentialRevoked},
		"of a suspended tenant":      {post("/hooks/of/suspended", "s3cret", "{}"), sallyport.TenantDisabled},
		"at the tenant's own":        {post("/tenants/t1/acme", "s3cret", "{}"), sallyport.Allowed},
		"at another tenant's":        {post("/tenants/t2/acme", "s3cret", "{}"), sallyport.TenantForeign},
		"in time":                    {post("/hooks/timed", "s3cret", "{}", h.stamp()), sallyport.Allowed},
		"too late":                   {post("/hooks/timed", "s3cret", "{}", "1700006099"), sallyport.SignatureExpired},
		"without its time":           {post("/hooks/timed", "s3cret", "{}"), sallyport.SignatureMissing},
		"with the time of another":   {with(without(post("/hooks/timed", "s3cret", "{}", h.stamp()), "x-time"), "x-time", "1700006401"), sallyport.SignatureWrong},
		"a signature without a time": {with(post("/hooks/timed", "s3cret", "{}"), "x-time", h.stamp()), sallyport.SignatureWrong},
		"in place of a key":          {with(get("/v1/orders"), "x-signature", strings.Repeat("0", 64)), sallyport.CredentialMissing},
	} {
		h.counters.Limiter = ratelimit.Limiter{Counters: ratelimit.NewMemory()}
		if name == "an encoded one" { // it is judged as unlisted: a stranger cannot map the API
			c.want = sallyport.CredentialMissing
		}
		if d := h.decide(c.req); d.Reason != c.want {
			t.Errorf("%s: got %v, want %v", name, d.Reason, c.want)
		}
	}
	// Whatever is wrong with another body, the signature is not good for it.
	r := post("/hooks/plain", "s3cret", "{}")
	r.Body = "[]"
	if d := h.decide(r); d.Reason != sallyport.SignatureWrong {
		t.Errorf("another body: got %v", d.Reason)
	}
}

// V9: nobody learns whether there is such a sender, or what was wrong.
func TestRefusedWebhooksLookAlike(t *testing.T) {
	h := newHooks(t)
	disabled := h.newSender("disabled", "s3cret")
	disabled.State = sallyport.Disabled
	h.drawer.put(disabled)
	good := post("/hooks/of/acme", "s3cret", "{}")
	var first Explanation
	for i, req := range []sallyport.Request{
		post("/hooks/of/acme", "wrong", "{}"), post("/hooks/of/nobody", "wrong", "{}"), post("/hooks/of/nobody", "s3cret", "{}"),
		post("/hooks/of/disabled", "s3cret", "{}"), with(good, "x-signature", "00"), post("/hooks/of/acme", "s3cret", strings.Repeat("x", 101)),
		post("/hooks/timed", "s3cret", "{}", "1"), post("/hooks/timed", "s3cret", "{}", "x"),
	} {
		e := h.Explain(t.Context(), &req, nil)
		e.Headers = slices.DeleteFunc(e.Headers, func(h sallyport.Header) bool { return h.Name == headerDecision })
		if i == 0 {
			first = e
		}
		if e.Status != 401 || e.Body != first.Body || !slices.Equal(e.Headers, first.Headers) {
			t.Errorf("%v: got %d %s %v, want %d %s %v", e.Decision.Reason, e.Status, e.Body, e.Headers, first.Status, first.Body, first.Headers)
		}
	}
}

// V9, G6: it counts as its sender's tenant's, with what that is allowed.
func TestAWebhookIsItsTenants(t *testing.T) {
	h := newHooks(t)
	d := h.decide(post("/hooks/plain", "s3cret", "{}"))
	want := sallyport.Subject{API: "orders", Tenant: "t1", Credential: "webhook:acme", Principal: "webhook:acme", Plan: "big", Operation: "POST /hooks/plain"}
	if d.Credential == nil || d.Credential.Kind != sallyport.KindWebhook || d.Subject != want || !d.Verdict.Known || d.Verdict.Remaining != 2 {
		t.Errorf("got %+v of %+v", d.Subject, d.Verdict)
	}
	for range 2 {
		h.decide(post("/hooks/of/acme", "s3cret", "{}"))
	}
	if d := h.decide(post("/hooks/plain", "s3cret", "{}")); d.Reason != sallyport.QuotaExhausted {
		t.Errorf("over its limit: got %v", d.Reason)
	}
	// Who did not sign learns of no quota, and spends none.
	if d := h.decide(post("/hooks/plain", "wrong", "{}")); d.Verdict.Known || d.Credential != nil || len(d.Charges) > 0 {
		t.Errorf("a stranger: got %+v of %v", d.Verdict, d.Credential)
	}
}

// G1, G2: a key beside the signature counts for nothing, and goes nowhere.
func TestAKeyBesideASignature(t *testing.T) {
	h := newHooks(t)
	key := h.key()
	for name, headers := range map[string][]string{
		"a good key": {"x-api-key", key}, "a bad one": {"x-api-key", "x"}, "a token": {"authorization", "Bearer " + key}, "both": {"x-api-key", key, "authorization", "Bearer x"},
	} {
		req := with(post("/hooks/plain", "s3cret", "{}"), headers...)
		c := newCall()
		c.Request = req
		h.answerTo(c)
		if c.Decision.Reason != sallyport.Allowed || c.Decision.Subject.Credential != "webhook:acme" {
			t.Errorf("%s: got %v for %s", name, c.Decision.Reason, c.Decision.Subject.Credential)
		}
		for _, place := range []string{"x-api-key", "authorization"} {
			if !slices.Contains(c.reply.Remove, place) {
				t.Errorf("%s: the upstream gets %s", name, place)
			}
		}
		if slices.Contains(c.reply.Remove, "x-signature") {
			t.Errorf("%s: the upstream does not get the signature", name)
		}
		h.counters.Limiter = ratelimit.Limiter{Counters: ratelimit.NewMemory()}
		if d := h.decide(with(post("/hooks/plain", "wrong", "{}"), headers...)); d.Reason != sallyport.SignatureWrong {
			t.Errorf("%s, no signature: got %v", name, d.Reason)
		}
	}
	in := post("/hooks/of/"+key, "s3cret", "{}")
	query := post("/hooks/plain", "s3cret", "{}")
	query.Query = "a=%6f" + key[1:]
	for _, r := range []sallyport.Request{in, query} {
		if d := h.decide(r); d.Reason != sallyport.CredentialMisplaced {
			t.Errorf("%s?%s: got %v", r.Path, r.Query, d.Reason)
		}
	}
}

// answerTo decides about c's request and makes the answer.
func (h *hooks) answerTo(c *call) {
	rules := h.rules.Load()
	h.Authorizer.decide(context.Background(), rules, &c.Request, &c.Decision)
	rules.answer(c)
}

// Where webhooks are not served, nothing passes.
func TestWebhooksThatAreNotServed(t *testing.T) {
	h := newHooks(t)
	h.AcceptWebhooks(nil)
	key := h.key()
	for want, r := range map[sallyport.Reason]sallyport.Request{
		sallyport.FeatureAbsent:    with(post("/hooks/plain", "s3cret", "{}"), "x-api-key", key),
		sallyport.SignatureMissing: without(with(post("/hooks/plain", "s3cret", "{}"), "x-api-key", key), "x-signature"),
	} {
		if d := h.decide(r); d.Reason != want {
			t.Errorf("got %v, want %v", d.Reason, want)
		}
	}
}

func TestWebhooksInShadow(t *testing.T) {
	h := newHooks(t)
	if d := h.decide(post("/hooks/shadow/acme", "wrong", "{}")); d.Reason != sallyport.Allowed || d.Shadowed != sallyport.SignatureWrong || d.Credential != nil {
		t.Errorf("got %v, in shadow %v, for %v", d.Reason, d.Shadowed, d.Credential)
	}
}

// FuzzWebhook holds that without the secret nothing passes, whatever is sent.
func FuzzWebhook(f *testing.F) {
	f.Add("/hooks/plain", strings.Repeat("0", 64), "{}", int64(2), "2", "1700006400")
	f.Add("/hooks/of/acme", "sha256=", "", int64(0), "0", "")
	f.Add("/hooks/once", strings.Repeat("F", 64), "\x00", int64(-1), "", "1700006400")
	h := newHooks(f)
	f.Fuzz(func(t *testing.T, path, signature, body string, size int64, length, stamp string) {
		r := sallyport.Request{Method: "POST", Host: "api.orders.test", Path: path, Body: body, Size: size, Headers: []sallyport.Header{
			{Name: "x-signature", Value: signature}, {Name: "x-hub", Value: signature}, {Name: "x-time", Value: stamp}, {Name: "content-length", Value: length}}}
		if d := h.decide(r); d.Reason == sallyport.Allowed || d.Reason == sallyport.Answered {
			t.Errorf("it passes: %+v", r)
		}
	})
}

// G4: a change holds on the next webhook, however the loads raced.
func TestNoStaleSecretAfterRacingLoads(t *testing.T) {
	const senders, workers, loads = 16, 4, 20_000
	h := newHooks(t)
	var version [senders]atomic.Int64 // odd: revoked, announced; even: active
	put := func(k int, state sallyport.State) {
		s := h.newSender("s"+strconv.Itoa(k), "s3cret")
		s.State = state
		h.drawer.put(s)
	}
	for k := range senders {
		put(k, sallyport.Active)
	}
	var left, stale, revoked atomic.Int64
	left.Store(loads)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				k := int(n) % senders
				before := version[k].Load()
				e, err := h.senders.find(context.Background(), "orders", "s"+strconv.Itoa(k))
				if err != nil {
					t.Error(err)
					return
				}
				if after := version[k].Load(); before == after && before%2 == 1 {
					revoked.Add(1)
					if e.credential.State != sallyport.Revoked {
						stale.Add(1)
					}
				}
			}
		})
	}
	for k := 0; left.Load() > 0; k = (k + 1) % senders {
		put(k, sallyport.Revoked)
		if k%2 == 0 {
			h.senders.Forget("orders", "s"+strconv.Itoa(k))
		} else {
			h.finder.ForgetTenant("orders", "t1")
		}
		version[k].Add(1)
		for at := left.Load(); left.Load() > max(0, at-4*senders); { // so that it is asked for while it is revoked
			runtime.Gosched()
		}
		version[k].Add(1) // from here on it may be seen as active again
		put(k, sallyport.Active)
		h.senders.Forget("orders", "s"+strconv.Itoa(k))
	}
	wg.Wait()
	if stale.Load() > 0 || revoked.Load() == 0 {
		t.Errorf("%d of %d finds after a revocation were stale", stale.Load(), revoked.Load())
	}
}

// A load that began before a change is not used after it.
func TestASenderThatChangesWhileItIsLoaded(t *testing.T) {
	h := newHooks(t)
	changed := false
	h.drawer.after = func() {
		if !changed {
			changed = true
			h.drawer.put(h.newSender("acme", "new"))
			h.senders.Forget("orders", "acme")
		}
	}
	if d := h.decide(post("/hooks/plain", "s3cret", "{}")); d.Reason != sallyport.SignatureWrong || h.drawer.reads.Load() != 2 {
		t.Errorf("got %v after %d reads", d.Reason, h.drawer.reads.Load())
	}
}

func TestSendersAreCached(t *testing.T) {
	h := newHooks(t)
	for range 3 {
		h.decide(post("/hooks/plain", "s3cret", "{}"))
		h.decide(post("/hooks/of/nobody", "s3cret", "{}"))
	}
	if n := h.drawer.reads.Load(); n != 2 {
		t.Errorf("%d reads for two senders", n)
	}
	h.drawer.put(h.newSender("nobody", "s3cret"))
	h.senders.Forget("orders", "nobody")
	if d := h.decide(post("/hooks/of/nobody", "s3cret", "{}")); d.Reason == sallyport.CredentialUnknown {
		t.Errorf("once it is made: got %v", d.Reason)
	}
}

// G9: while the store is down, senders that are known are served as keys are.
func TestWebhooksWhileTheStoreIsDown(t *testing.T) {
	h := newHooks(t)
	h.policy.APIs[0].Grace = time.Minute
	h.enforce()
	h.decide(post("/hooks/plain", "s3cret", "{}"))
	h.drawer.fail(errors.New("disk on fire"))
	if d := h.decide(post("/hooks/of/other", "s3cret", "{}")); d.Reason != sallyport.StoreFailed {
		t.Errorf("not known: got %v", d.Reason)
	}
	h.drawer.fail(context.DeadlineExceeded)
	if d := h.decide(post("/hooks/of/other", "s3cret", "{}")); d.Reason != sallyport.StoreTimeout {
		t.Errorf("not known, in time: got %v", d.Reason)
	}
	h.finder.Down(noon.Add(-time.Minute))
	if d := h.decide(post("/hooks/plain", "s3cret", "{}")); d.Reason != sallyport.Allowed {
		t.Errorf("known: got %v", d.Reason)
	}
	h.finder.Down(noon.Add(-time.Minute - time.Second))
	if d := h.decide(post("/hooks/plain", "s3cret", "{}")); d.Reason != sallyport.StoreFailed {
		t.Errorf("known, for too long: got %v", d.Reason)
	}
}

// G5: secrets are sealed under the pepper of their time, and bound to their sender.
func TestSealedSecrets(t *testing.T) {
	pepper := func(text string, version int) apikey.Pepper {
		p, err := apikey.ParsePepper([]byte(text + strings.Repeat("-", 32)))
		if err != nil {
			t.Fatal(err)
		}
		return p.WithVersion(version)
	}
	first, second, lost := pepper("first", 1), pepper("second", 2), pepper("lost", 3)
	hasher := func(current apikey.Pepper, older ...apikey.Pepper) *apikey.Hasher {
		made, err := apikey.NewHasher(current, older...)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	h := newHooks(t)
	s, err := NewSenders(h.drawer, h.finder, hasher(second, first))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	h.AcceptWebhooks(s)
	misnumbered := sealed(hasher(first), "acme", "s3cret")
	misnumbered.Pepper = 2
	for name, c := range map[string]struct {
		secrets []sallyport.SealedSecret
		want    sallyport.Reason
	}{
		"under the current pepper":  {[]sallyport.SealedSecret{sealed(hasher(second), "acme", "s3cret")}, sallyport.Allowed},
		"under an older one":        {[]sallyport.SealedSecret{sealed(hasher(first), "acme", "s3cret")}, sallyport.Allowed},
		"under one of that version": {[]sallyport.SealedSecret{misnumbered}, sallyport.Allowed},
		"under one that is lost":    {[]sallyport.SealedSecret{sealed(hasher(lost), "acme", "s3cret")}, sallyport.StoreFailed},
		"beside one that is lost":   {[]sallyport.SealedSecret{sealed(hasher(lost), "acme", "x"), sealed(hasher(first), "acme", "s3cret")}, sallyport.Allowed},
		"of another sender":         {[]sallyport.SealedSecret{sealed(hasher(second), "other", "s3cret")}, sallyport.StoreFailed},
		"damaged":                   {[]sallyport.SealedSecret{{Sealed: []byte("x")}}, sallyport.StoreFailed},
	} {
		h.counters.Limiter = ratelimit.Limiter{Counters: ratelimit.NewMemory()}
		sender := h.newSender("acme")
		sender.Secrets = c.secrets
		h.drawer.put(sender)
		h.senders.Forget("orders", "acme")
		if d := h.decide(post("/hooks/plain", "s3cret", "{}")); d.Reason != c.want {
			t.Errorf("%s: got %v, want %v", name, d.Reason, c.want)
		}
	}
}
