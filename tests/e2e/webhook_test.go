package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/testenv"
	"github.com/sallyport/sallyport/tests/requests"
)

// inbox is an upstream that keeps what it got.
type inbox struct {
	mu      sync.Mutex // guards all below
	letters []letter
	began   chan struct{} // told when a body has begun; nil: nobody asks
}

// letter is a request as the upstream got it.
type letter struct{ body, tenant, credential string }

func (b *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	began := b.began
	b.mu.Unlock()
	first := make([]byte, 1)
	n, _ := io.ReadFull(r.Body, first)
	if began != nil {
		close(began)
	}
	rest, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.letters = append(b.letters, letter{string(first[:n]) + string(rest), r.Header.Get("X-Sallyport-Tenant"), r.Header.Get("X-Sallyport-Credential")})
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, "{}")
}

// take returns what came since it was asked last.
func (b *inbox) take() []letter {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.letters
	b.letters = nil
	return all
}

const hookOperations = `operations:
      - {GET: /v1/orders, scope: orders:read}
      - {POST: /v1/orders, scope: orders:read}
      - {POST: /hooks/paid, webhook: {header: X-Signature, sender: payments, max_body: 1KiB}}
      - {POST: "/hooks/of/{from}", webhook: {header: X-Signature, sender: "{from}", max_body: 1KiB}}
      - {POST: "/hooks/hub/{from}", webhook: {header: X-Hub-Signature-256, prefix: "sha256=", sender: "{from}", max_body: 1KiB}}
      - POST: "/hooks/timed/{from}"
        webhook: {header: X-Signature, sender: "{from}", timestamp: {header: X-Time, tolerance: 5m}}
      - POST: "/hooks/once/{from}"
        webhook: {header: X-Signature, sender: "{from}", timestamp: {header: X-Time, tolerance: 5m}, replay: refuse}`

// hooks is a server whose API has webhooks, behind an Envoy, with two tenants.
type hooks struct {
	*server
	gate *demo
	in   *inbox
}

const (
	paymentsSecret = "the-secret-of-payments"
	shopSecret     = "the-secret-of-the-shop"
	otherSecret    = "the-secret-of-another"
)

func newHooks(t *testing.T, chain string) *hooks {
	t.Helper()
	testenv.Envoy(t)
	h := &hooks{in: new(inbox)}
	upstream := httptest.NewServer(h.in)
	t.Cleanup(upstream.Close)
	h.server = newServer(t, upstream.URL)
	h.edit("operations: [{GET: /v1/orders, scope: orders:read}]", hookOperations)
	h.start()
	h.gate = h.server.envoy(chain)
	for _, tenant := range []string{"t1", "t2"} {
		h.cli("tenant", "create", "--api", "orders", "--id", tenant, "--plan", "big")
	}
	h.sender("create", "payments", paymentsSecret, "--tenant", "t1")
	h.sender("create", "shop", shopSecret, "--tenant", "t1")
	h.sender("create", "other", otherSecret, "--tenant", "t2")
	return h
}

// sender runs a command on a sender, with a secret unless that is "".
func (h *hooks) sender(command, id, secret string, flags ...string) {
	h.t.Helper()
	args := append([]string{"webhook", "sender", command, "--api", "orders", "--id", id}, flags...)
	if secret != "" {
		h.write("secret", secret+"\n")
		args = append(args, "--secret-file", filepath.Join(h.folder, "secret"))
	}
	h.cli(args...)
}

// overH2 is a client of HTTP/2 without TLS.
func overH2() *http.Client {
	transport := newClient().Transport.(*http.Transport).Clone()
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// post sends body: way is h1 or h2, behind which -chunked is without a length.
func (h *hooks) post(way, path, body string, lines ...string) answer {
	h.t.Helper()
	client, chunked := h.gate.client, strings.HasSuffix(way, "-chunked")
	if strings.HasPrefix(way, "h2") {
		client = overH2()
		defer client.CloseIdleConnections()
	}
	var content io.Reader = strings.NewReader(body)
	if chunked {
		content = io.MultiReader(content)
	}
	req, err := http.NewRequest("POST", h.gate.Gateway+path, content)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Host = "api.orders.test"
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		req.Header.Add(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// wants sends a webhook and holds that it passes, whole and as that sender of that
// tenant; or with "", that it is refused and does not reach the upstream.
func (h *hooks) wants(tenant, sender, name, way, path, body string, lines ...string) answer {
	h.t.Helper()
	a := h.post(way, path, body, lines...)
	got := h.in.take()
	switch {
	case tenant == "":
		if a.status != 401 || len(got) > 0 {
			h.t.Errorf("%s, %s: %d %s, and the upstream got %d", name, way, a.status, a.body, len(got))
		}
	case a.status != 200 || len(got) != 1:
		h.t.Errorf("%s, %s: %d %s, and the upstream got %d", name, way, a.status, a.body, len(got))
	case got[0] != letter{body, tenant, "webhook:" + sender}:
		h.t.Errorf("%s, %s: the upstream got %d bytes of %q %q", name, way, len(got[0].body), got[0].tenant, got[0].credential)
	}
	return a
}

func (h *hooks) passes(name, path, body string, lines ...string) {
	h.t.Helper()
	h.wants("t1", "shop", name, "h1", path, body, lines...)
}

func (h *hooks) fails(name, path, body string, lines ...string) answer {
	h.t.Helper()
	return h.wants("", "", name, "h1", path, body, lines...)
}

func xSignature(secret, body string) string { return "X-Signature: " + requests.HMAC(secret, body) }

// V9: through Envoy, however it is sent, what its sender signed arrives byte by
// byte as its tenant's; anything else is 401 in the API's form, and the same.
func TestWebhooks(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			h := newHooks(t, chain)
			signedWebhooks(h)
			refusedWebhooks(h)
			timedWebhooks(h)
			sendersChange(h)
			othersAreNotKept(h)
			if log := h.log.String(); strings.Contains(log, shopSecret) || strings.Contains(log, otherSecret) {
				t.Error("the log holds a secret")
			}
		})
	}
}

// everyByte is a body that no text is.
func everyByte() string {
	all := make([]byte, 512)
	for i := range all {
		all[i] = byte(i)
	}
	return string(all)
}

func signedWebhooks(h *hooks) {
	for _, way := range []string{"h1", "h1-chunked", "h2", "h2-chunked"} {
		for name, body := range map[string]string{
			"text": `{"paid":  true}`, "every byte": everyByte(), "as long as it may be": strings.Repeat("x", 1024),
		} {
			h.wants("t1", "shop", name, way, "/hooks/of/shop", body, xSignature(shopSecret, body))
		}
		long := strings.Repeat("x", 1025)
		h.wants("", "", "a byte longer", way, "/hooks/of/shop", long, xSignature(shopSecret, long))
		h.wants("", "", "a byte longer, signed as far as it may be", way, "/hooks/of/shop", long, xSignature(shopSecret, long[1:]))
	}
	h.passes("nothing", "/hooks/of/shop", "", xSignature(shopSecret, ""))
	h.passes("in capitals", "/hooks/of/shop", "{}", "X-Signature: "+strings.ToUpper(requests.HMAC(shopSecret, "{}")))
	h.passes("behind a prefix", "/hooks/hub/shop", "{}", "X-Hub-Signature-256: sha256="+requests.HMAC(shopSecret, "{}"))
	h.wants("t1", "payments", "by the configuration's name", "h1", "/hooks/paid", "{}", xSignature(paymentsSecret, "{}"))
	h.wants("t2", "other", "another tenant's own", "h1", "/hooks/of/other", "{}", xSignature(otherSecret, "{}"))
	h.passes("with a tenant of its own making", "/hooks/of/shop", "{}", xSignature(shopSecret, "{}"), "X-Sallyport-Tenant: t2", "X-Sallyport-Credential: key_1")
}

// told is what an answer says, but for what differs from one to the next.
func told(t *testing.T, a answer) string {
	t.Helper()
	body, _ := a.json(t)["error"].(map[string]any)
	names := make([]string, 0, len(a.header))
	for name := range a.header {
		names = append(names, name)
	}
	slices.Sort(names)
	return fmt.Sprint(a.status, body["code"], body["message"], a.header.Get("Content-Type"), a.header.Get("Www-Authenticate"), names)
}

func refusedWebhooks(h *hooks) {
	const body = `{"paid": true}`
	good := xSignature(shopSecret, body)
	want := told(h.t, h.fails("a wrong one", "/hooks/of/shop", body, xSignature("not-the-secret-of-anybody", body)))
	if code := errorCode(h.t, h.fails("none", "/hooks/of/shop", body)); code != "unauthorized" {
		h.t.Errorf("no signature is %q", code)
	}
	for name, c := range map[string]struct {
		path, body string
		lines      []string
	}{
		"another tenant's":       {"/hooks/of/shop", body, []string{xSignature(otherSecret, body)}},
		"another sender's":       {"/hooks/of/shop", body, []string{xSignature(paymentsSecret, body)}},
		"of nobody":              {"/hooks/of/nobody", body, []string{good}},
		"to the configuration's": {"/hooks/paid", body, []string{good}},
		"of another body":        {"/hooks/of/shop", body + " ", []string{good}},
		"of no body":             {"/hooks/of/shop", "", []string{good}},
		"repeated":               {"/hooks/of/shop", body, []string{good, good}},
		"two in one line":        {"/hooks/of/shop", body, []string{good + ", " + requests.HMAC(shopSecret, body)}},
		"cut short":              {"/hooks/of/shop", body, []string{good[:len(good)-2]}},
		"empty":                  {"/hooks/of/shop", body, []string{"X-Signature: "}},
		"no hexadecimal":         {"/hooks/of/shop", body, []string{"X-Signature: " + strings.Repeat("z", 64)}},
		"with a prefix":          {"/hooks/of/shop", body, []string{"X-Signature: sha256=" + requests.HMAC(shopSecret, body)}},
		"without its prefix":     {"/hooks/hub/shop", body, []string{"X-Hub-Signature-256: " + requests.HMAC(shopSecret, body)}},
		"with another prefix":    {"/hooks/hub/shop", body, []string{"X-Hub-Signature-256: sha1=" + requests.HMAC(shopSecret, body)}},
		"too long":               {"/hooks/of/shop", strings.Repeat("x", 5000), []string{xSignature(shopSecret, strings.Repeat("x", 5000))}},
		"by the empty secret":    {"/hooks/of/shop", body, []string{xSignature("", body)}},
	} {
		if got := told(h.t, h.fails(name, c.path, c.body, c.lines...)); got != want {
			h.t.Errorf("%s: told\n%s, and of a wrong one\n%s", name, got, want)
		}
	}
	if a := h.post("h1", "/v1/orders", body, good); a.status != 401 || len(h.in.take()) > 0 {
		h.t.Errorf("in place of a key: %d %s", a.status, a.body)
	}
}

// timed are the headers of a webhook that was signed at a time.
func timed(secret, body string, at time.Time) []string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	return []string{"X-Signature: " + requests.HMAC(secret, stamp+"."+body), "X-Time: " + stamp}
}

func timedWebhooks(h *hooks) {
	now := time.Now()
	h.passes("of now", "/hooks/timed/shop", "{}", timed(shopSecret, "{}", now)...)
	h.passes("of now, again", "/hooks/timed/shop", "{}", timed(shopSecret, "{}", now)...)
	h.passes("of a while ago", "/hooks/timed/shop", "{}", timed(shopSecret, "{}", now.Add(-2*time.Minute))...)
	h.fails("too old", "/hooks/timed/shop", "{}", timed(shopSecret, "{}", now.Add(-10*time.Minute))...)
	h.fails("from the future", "/hooks/timed/shop", "{}", timed(shopSecret, "{}", now.Add(10*time.Minute))...)
	h.fails("without its time", "/hooks/timed/shop", "{}", timed(shopSecret, "{}", now)[0])
	h.fails("with another time", "/hooks/timed/shop", "{}", timed(shopSecret, "{}", now)[0], timed(shopSecret, "{}", now.Add(time.Minute))[1])
	h.fails("the body alone signed", "/hooks/timed/shop", "{}", xSignature(shopSecret, "{}"), timed(shopSecret, "{}", now)[1])

	h.passes("once", "/hooks/once/shop", "{}", timed(shopSecret, "{}", now)...)
	h.fails("twice", "/hooks/once/shop", "{}", timed(shopSecret, "{}", now)...)
	h.passes("another body", "/hooks/once/shop", "[]", timed(shopSecret, "[]", now)...)
	h.wants("t2", "other", "another's of the same", "h1", "/hooks/once/other", "{}", timed(otherSecret, "{}", now)...)
}

// G4: what changes about a sender holds on the next webhook.
func sendersChange(h *hooks) {
	const at, body, next = "/hooks/of/shop", "{}", "the-next-secret-of-the-shop"
	old := xSignature(shopSecret, body)
	h.sender("roll", "shop", next, "--grace", "1h")
	h.passes("the new secret", at, body, xSignature(next, body))
	h.passes("the old secret meanwhile", at, body, old)
	h.sender("settle", "shop", "")
	h.fails("the old secret after it was settled", at, body, old)
	h.passes("the new secret then", at, body, xSignature(next, body))
	h.sender("disable", "shop", "")
	h.fails("a disabled sender", at, body, xSignature(next, body))
	h.sender("enable", "shop", "")
	h.passes("an enabled sender", at, body, xSignature(next, body))
	h.sender("roll", "shop", shopSecret, "--grace", "0")
	h.fails("the secret before, without grace", at, body, xSignature(next, body))
	h.passes("the one that came back", at, body, old)
	h.cli("tenant", "disable", "--api", "orders", "--id", "t1")
	h.fails("a sender of a suspended tenant", at, body, old)
	h.cli("tenant", "enable", "--api", "orders", "--id", "t1")
	h.passes("when it is back", at, body, old)

	h.fails("before there is such a sender", "/hooks/of/late", body, xSignature("the-secret-of-a-latecomer", body))
	h.sender("create", "late", "the-secret-of-a-latecomer", "--tenant", "t2")
	h.wants("t2", "late", "as soon as there is", "h1", "/hooks/of/late", body, xSignature("the-secret-of-a-latecomer", body))
	h.sender("revoke", "late", "")
	h.fails("a revoked sender", "/hooks/of/late", body, xSignature("the-secret-of-a-latecomer", body))
}

// othersAreNotKept holds that Envoy keeps no body back because there are webhooks
// beside: what is sent reaches the upstream while the rest is still to come.
func othersAreNotKept(h *hooks) {
	key, _ := h.newKey(reading)
	began := make(chan struct{})
	h.in.mu.Lock()
	h.in.began = began
	h.in.mu.Unlock()
	from, to := io.Pipe()
	req, err := http.NewRequest("POST", h.gate.Gateway+"/v1/orders", from)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Host = "api.orders.test"
	name, value, _ := strings.Cut(key, ": ")
	req.Header.Set(name, value)
	half := bytes.Repeat([]byte("x"), 4<<20) // more than any webhook's body
	go func() {
		to.Write(half[:1])
		select {
		case <-began:
			to.Write(half)
			to.Close()
		case <-time.After(20 * time.Second):
			to.CloseWithError(fmt.Errorf("the upstream was not told that a body has begun"))
		}
	}()
	resp, err := h.gate.client.Do(req)
	if err != nil {
		h.t.Error(err)
		return
	}
	resp.Body.Close()
	if got := h.in.take(); resp.StatusCode != 200 || len(got) != 1 || len(got[0].body) != 1+len(half) {
		h.t.Errorf("a long body: %d, and the upstream got %d", resp.StatusCode, len(got))
	}
}
