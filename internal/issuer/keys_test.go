package issuer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// login is an issuer on a real socket.
type login struct {
	*httptest.Server
	asked  atomic.Int32
	answer atomic.Pointer[http.HandlerFunc]
}

func newLogin(t *testing.T, answer http.HandlerFunc) *login {
	t.Helper()
	l := new(login)
	l.says(answer)
	l.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.asked.Add(1)
		(*l.answer.Load())(w, r)
	}))
	t.Cleanup(l.Server.Close)
	return l
}

func (l *login) says(answer http.HandlerFunc) { l.answer.Store(&answer) }

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(s)) }
}

// hang answers nothing until who asks has gone, which a server sees once it has
// read the whole question.
func hang(_ http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// clock stands until it is moved.
type clock struct{ seconds atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.seconds.Store(now.Unix())
	return c
}

func (c *clock) Now() time.Time          { return time.Unix(c.seconds.Load(), 0).UTC() }
func (c *clock) move(by time.Duration)   { c.seconds.Add(int64(by / time.Second)) }
func (c *clock) token(kid string) string { return ecToken(kid, c.Now()) }

// ecToken is a token by the key ec under the name kid.
func ecToken(kid string, at time.Time) string {
	return forge(fmt.Sprintf(`{"alg":"ES256","kid":%q}`, kid), claimsText(map[string]any{"iat": at.Unix(), "exp": at.Unix() + 600}), ring().ec, "ES256")
}

func ecSet(kids ...string) string {
	var keys []string
	for _, kid := range kids {
		keys = append(keys, jwk(ring().ec, kid, ""))
	}
	return jwks(keys...)
}

// watched are Keys of l, with the clock that they go by and what they tell.
func watched(t *testing.T, l *login, c *clock) (*Keys, <-chan State) {
	t.Helper()
	states := make(chan State, 100)
	client := l.Client()
	client.Timeout = time.Second // for those who hang
	k, err := NewKeys(KeysOptions{From: l.URL, Client: client, KeepFor: time.Hour, Now: c.Now, Changed: func(s State) { states <- s }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k, states
}

// next is the next state that is told.
func next(t *testing.T, states <-chan State) State {
	t.Helper()
	select {
	case s := <-states:
		return s
	case <-t.Context().Done():
	case <-time.After(30 * time.Second):
	}
	t.Fatal("no change was told")
	return State{}
}

func expect(t *testing.T, v *Verifier, text string, at time.Time, want error) {
	t.Helper()
	if _, err := v.Verify(t.Context(), text, at); !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestNewKeyIsGoodWithinOneFetch(t *testing.T) {
	l, c := newLogin(t, text(ecSet("one"))), newClock()
	k, states := watched(t, l, c)
	v := verifier(t, k, 0)
	expect(t, v, c.token("one"), c.Now(), nil)
	if s := next(t, states); !s.Usable || s.Err != nil || len(s.Keys) != 1 || s.Keys[0] != "one" || s.Withdrawn {
		t.Errorf("at first: got %+v", s)
	}
	l.says(text(ecSet("one", "two")))
	expect(t, v, c.token("two"), c.Now(), ErrBad) // fetched just now
	c.move(fetchEvery)
	expect(t, v, c.token("two"), c.Now(), nil)
	expect(t, v, c.token("one"), c.Now(), nil)
	if s := next(t, states); len(s.Keys) != 2 || s.Withdrawn {
		t.Errorf("with the new key: got %+v", s)
	}
	if n := l.asked.Load(); n != 2 {
		t.Errorf("the issuer was asked %d times, want 2", n)
	}
	l.says(text(ecSet("two")))
	c.move(fetchEvery)
	expect(t, v, c.token("three"), c.Now(), ErrBad)
	expect(t, v, c.token("one"), c.Now(), ErrBad)
	expect(t, v, c.token("two"), c.Now(), nil)
	if s := next(t, states); !s.Withdrawn || len(s.Keys) != 1 {
		t.Errorf("without the old key: got %+v", s)
	}
	// The same name for another key takes back the first.
	l.says(text(jwks(jwk(ring().otherEC, "two", ""))))
	c.move(fetchEvery)
	expect(t, v, c.token("three"), c.Now(), ErrBad)
	expect(t, v, c.token("two"), c.Now(), ErrBad)
	if s := next(t, states); !s.Withdrawn {
		t.Errorf("with another key of that name: got %+v", s)
	}
	if s := k.State(); !s.Usable || s.Withdrawn || s.From != l.URL {
		t.Errorf("State: got %+v", s)
	}
}

func TestMadeUpKidsCostOneFetch(t *testing.T) {
	l, c := newLogin(t, text(ecSet("one"))), newClock()
	k, _ := watched(t, l, c)
	v := verifier(t, k, 0)
	expect(t, v, c.token("one"), c.Now(), nil)
	for round := range int32(3) {
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() { expect(t, v, c.token(fmt.Sprint("made-up-", i)), c.Now(), ErrBad) })
		}
		all.Wait()
		if n := l.asked.Load(); n != round+1 {
			t.Fatalf("after %d rounds the issuer was asked %d times", round, n)
		}
		c.move(fetchEvery)
	}
}

// failures are what issuers do instead of answering with a good set.
func failures(t *testing.T) map[string]http.HandlerFunc {
	plain := httptest.NewServer(text(ecSet("one", "new")))
	t.Cleanup(plain.Close)
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	return map[string]http.HandlerFunc{
		"error":    func(w http.ResponseWriter, _ *http.Request) { http.Error(w, ecSet("new"), http.StatusBadGateway) },
		"not 200":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"hangs":    hang,
		"to http":  redirect(plain.URL),
		"to file":  redirect("file:///etc/passwd"),
		"round":    redirect("/"),
		"garbage":  text("\x00\xff"),
		"HTML":     text("<html>sign in</html>"),
		"empty":    text(jwks()),
		"no key":   text(jwks(jwk(weakRSA(), "new", ""))),
		"too long": text(ecSet("new") + strings.Repeat(" ", maxAnswer)),
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			w.Write([]byte(ecSet("new")))
		},
		"hangs up": func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) },
		"hangs later": func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte(`{"keys":[`))
			w.(http.Flusher).Flush()
			hang(w, r)
		},
	}
}

func TestOutageKeepsTheLastGoodSet(t *testing.T) {
	for name, failure := range failures(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, c := newLogin(t, text(ecSet("one"))), newClock()
			k, states := watched(t, l, c)
			v := verifier(t, k, 0)
			expect(t, v, c.token("one"), c.Now(), nil)
			first := next(t, states)

			l.says(failure)
			c.move(fetchEvery)
			expect(t, v, c.token("new"), c.Now(), ErrUnreachable) // it may be the issuer's: nobody can say
			expect(t, v, c.token("one"), c.Now(), nil)
			if s := next(t, states); !s.Usable || s.Err == nil || !s.At.Equal(first.At) || !s.Until.Equal(now.Add(time.Hour)) {
				t.Errorf("in the outage: got %+v", s)
			}
			c.move(time.Hour)
			expect(t, v, c.token("one"), c.Now(), ErrUnreachable)
			if s := next(t, states); s.Usable || s.Withdrawn {
				t.Errorf("after the time to keep them: got %+v", s)
			}
			l.says(text(ecSet("one", "new")))
			expect(t, v, c.token("new"), c.Now(), ErrUnreachable) // asked just now
			c.move(fetchEvery)
			expect(t, v, c.token("new"), c.Now(), nil)
			if s := next(t, states); !s.Usable || s.Err != nil {
				t.Errorf("after the outage: got %+v", s)
			}
		})
	}
}

func TestIssuerThatWasNeverReached(t *testing.T) {
	l, c := newLogin(t, text("nothing yet")), newClock()
	k, states := watched(t, l, c)
	v := verifier(t, k, 0)
	expect(t, v, c.token("one"), c.Now(), ErrUnreachable)
	if s := next(t, states); s.Usable || s.Err == nil || !s.At.IsZero() {
		t.Errorf("got %+v", s)
	}
	l.says(text(ecSet("one")))
	c.move(fetchEvery)
	expect(t, v, c.token("one"), c.Now(), nil)
}

func TestRedirectsWithinHTTPSAreFollowed(t *testing.T) {
	target := newLogin(t, text(ecSet("one")))
	l := newLogin(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target.URL, http.StatusFound) })
	c := newClock()
	k, _ := watched(t, l, c)
	expect(t, verifier(t, k, 0), c.token("one"), c.Now(), nil)
}

// A client that would follow anything is told otherwise.
func TestClientCannotAllowRedirects(t *testing.T) {
	plain := httptest.NewServer(text(ecSet("one")))
	defer plain.Close()
	l := newLogin(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL, http.StatusFound) })
	l.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return nil }
	c := newClock()
	k, _ := watched(t, l, c)
	expect(t, verifier(t, k, 0), c.token("one"), c.Now(), ErrUnreachable)
}

func TestDefaultClientTrustsNobodyNew(t *testing.T) {
	l := newLogin(t, text(ecSet("one")))
	k, err := NewKeys(KeysOptions{From: l.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if _, err := k.Find(t.Context(), "one", "ES256"); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v, want a fault of its certificate", err)
	}
	if NewClient(nil).Transport.(*http.Transport).Proxy != nil {
		t.Error("the client has a proxy that nobody asked for")
	}
	if NewClient(http.ProxyFromEnvironment).Transport.(*http.Transport).Proxy == nil {
		t.Error("the client has no proxy")
	}
}

func TestWaitingEndsWithTheRequest(t *testing.T) {
	l, c := newLogin(t, hang), newClock()
	k, err := NewKeys(KeysOptions{From: l.URL, Client: l.Client(), Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.Find(ctx, "one", "ES256"); !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	k.Close() // returns, though the issuer hangs
	if _, err := k.Find(t.Context(), "one", "ES256"); !errors.Is(err, ErrUnreachable) {
		t.Errorf("after Close: got %v", err)
	}
}

func TestKnownKeysAreGoodAfterClose(t *testing.T) {
	l, c := newLogin(t, text(ecSet("one"))), newClock()
	k, _ := watched(t, l, c)
	v := verifier(t, k, 0)
	expect(t, v, c.token("one"), c.Now(), nil)
	k.Close()
	k.Close() // twice does no harm
	c.move(fetchEvery)
	expect(t, v, c.token("one"), c.Now(), nil)
	expect(t, v, c.token("two"), c.Now(), ErrBad)
	if n := l.asked.Load(); n != 1 {
		t.Errorf("the issuer was asked %d times, want once", n)
	}
}

func TestKeysOptionsThatCannotWork(t *testing.T) {
	for _, from := range []string{"", "http://login.example/jwks", "https://", "https:///jwks", "https://user:word@login.example/", "https://login.example/#x", "ftp://login.example/", "://", "https://login.example/%zz"} {
		if k, err := NewKeys(KeysOptions{From: from}); err == nil || k != nil {
			t.Errorf("%q: accepted", from)
		} else if strings.Contains(err.Error(), "word") {
			t.Errorf("%q: %v has the password", from, err)
		}
	}
	if k, err := NewKeys(KeysOptions{From: "https://login.example/", KeepFor: -1}); err == nil || k != nil {
		t.Error("keeping for less than no time: accepted")
	}
}

func TestWhatIsNoFileIsNotRead(t *testing.T) {
	folder := t.TempDir()
	long := filepath.Join(folder, "long")
	if err := os.WriteFile(long, []byte(ecSet("one")+strings.Repeat(" ", maxAnswer)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{filepath.Join(folder, "absent"), folder, long, os.DevNull} {
		k, err := NewKeys(KeysOptions{From: from})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Find(t.Context(), "one", "ES256"); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: got %v", from, err)
		}
		k.Close()
	}
}

func TestFresh(t *testing.T) {
	for _, test := range []struct {
		control, age string
		want         time.Duration
	}{
		{"", "", 15 * time.Minute},
		{"public", "", 15 * time.Minute},
		{"max-age=600", "", 10 * time.Minute},
		{"public, Max-Age=600, must-revalidate", "", 10 * time.Minute},
		{`max-age="600"`, "", 10 * time.Minute},
		{"max-age=600", "120", 8 * time.Minute},
		{"max-age=600", "601", time.Minute},
		{"max-age=600", "-5", 10 * time.Minute},
		{"max-age=600", "no number", 10 * time.Minute},
		{"max-age=0", "", time.Minute},
		{"max-age=1", "", time.Minute},
		{"max-age=31536000", "", 24 * time.Hour},
		{"max-age=99999999999999999999", "", 15 * time.Minute},
		{"max-age=-1", "", 15 * time.Minute},
		{"max-age", "", 15 * time.Minute},
		{"s-maxage=5", "", 15 * time.Minute},
		{"no-cache", "", time.Minute},
		{"no-store, max-age=600", "", time.Minute},
	} {
		h := http.Header{}
		h.Set("Cache-Control", test.control)
		h.Set("Age", test.age)
		if got := fresh(h); got != test.want {
			t.Errorf("%q, age %q: got %v, want %v", test.control, test.age, got, test.want)
		}
	}
}
