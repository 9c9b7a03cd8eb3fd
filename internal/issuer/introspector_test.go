package issuer

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/internal/apikey"
)

const askedSecret = "p:ss wörd&=%"

func introspector(t *testing.T, o IntrospectorOptions) *Introspector {
	t.Helper()
	if o.Client == "" {
		o.Client = "gate:1"
	}
	o.Secret = apikey.NewSecret(askedSecret)
	if o.Now == nil {
		o.Now = func() time.Time { return now }
	}
	i, err := NewIntrospector(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

func TestQuestionsSayWhoAsks(t *testing.T) {
	for _, in := range []SecretIn{SecretInHeader, SecretInBody} {
		l := newLogin(t, func(w http.ResponseWriter, r *http.Request) {
			client, secret, _ := r.BasicAuth()
			form := map[string]string{"token": "tok+/=", "token_type_hint": "access_token"}
			if in == SecretInBody {
				form["client_id"], form["client_secret"] = "gate:1", askedSecret
				if r.Header.Get("Authorization") != "" {
					t.Error("both ways at once")
				}
			} else if client != "gate%3A1" || secret != "p%3Ass+w%C3%B6rd%26%3D%25" {
				t.Errorf("got client %q, secret %q", client, secret)
			}
			r.ParseForm()
			if r.Method != http.MethodPost || r.URL.Path != "/introspect" || len(r.PostForm) != len(form) || r.URL.RawQuery != "" {
				t.Errorf("got %s %s with %v", r.Method, r.URL, r.PostForm)
			}
			for name, want := range form {
				if got := r.PostForm.Get(name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
			fmt.Fprint(w, `{"active":true,"sub":"u"}`)
		})
		i := introspector(t, IntrospectorOptions{URL: l.URL + "/introspect", HTTP: l.Client(), SecretIn: in})
		if a, err := i.Ask(t.Context(), "tok+/="); err != nil || !a.Active {
			t.Errorf("got %+v, %v", a, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	n := now.Unix()
	const inactive, unknown = -1, -2
	for _, test := range []struct {
		name, text string
		keep       time.Duration // or inactive, or unknown
	}{
		{"active", `{"active":true,"sub":"u","scope":"a"}`, time.Minute},
		{"active for a client", `{"active":true,"client_id":"c"}`, time.Minute},
		{"active for long", fmt.Sprintf(`{"active":true,"sub":"u","exp":%d}`, n+600), time.Minute},
		{"active for a short time", fmt.Sprintf(`{"active":true,"sub":"u","exp":%d}`, n+7), 7 * time.Second},
		{"active within the leeway", fmt.Sprintf(`{"active":true,"sub":"u","exp":%d}`, n-5), 0},
		{"of this issuer, for us", fmt.Sprintf(`{"active":true,"sub":"u","iss":%q,"aud":["x",%q]}`, theIssuer, audience), time.Minute},
		{"inactive", `{"active":false}`, inactive},
		{"inactive, with a user", `{"active":false,"sub":"u","exp":9999999999}`, inactive},
		{"active and expired", fmt.Sprintf(`{"active":true,"sub":"u","exp":%d}`, n-10), inactive},
		{"active in the future", fmt.Sprintf(`{"active":true,"sub":"u","nbf":%d}`, n+11), inactive},
		{"active for nobody", `{"active":true}`, inactive},
		{"active for an empty name", `{"active":true,"sub":""}`, inactive},
		{"active for a number", `{"active":true,"sub":7}`, inactive},
		{"of another issuer", `{"active":true,"sub":"u","iss":"https://other.example"}`, inactive},
		{"of an issuer that is a list", `{"active":true,"sub":"u","iss":[]}`, inactive},
		{"bound to a key", `{"active":true,"sub":"u","cnf":{"x5t#S256":"x"}}`, inactive},
		{"exp is text", `{"active":true,"sub":"u","exp":"9999999999"}`, unknown},
		{"exp is null", `{"active":true,"sub":"u","exp":null}`, unknown},
		{"active is text", `{"active":"true","sub":"u"}`, unknown},
		{"active is 1", `{"active":1,"sub":"u"}`, unknown},
		{"active is null", `{"active":null,"sub":"u"}`, unknown},
		{"active is missing", `{"sub":"u"}`, unknown},
		{"active twice", `{"active":false,"active":true,"sub":"u"}`, unknown},
		{"Active", `{"Active":true,"sub":"u"}`, unknown},
		{"a list", `[{"active":true,"sub":"u"}]`, unknown},
		{"true", `true`, unknown},
		{"nothing", ``, unknown},
		{"HTML", `<html>`, unknown},
		{"more after it", `{"active":true,"sub":"u"}{}`, unknown},
		{"too long", `{"active":true,"sub":"u"}` + strings.Repeat(" ", maxAnswer), unknown},
	} {
		synctest.Test(t, func(t *testing.T) {
			i := introspector(t, IntrospectorOptions{
				URL: "https://login.example/", Issuer: theIssuer, Leeway: 10 * time.Second,
				HTTP: inMemory(func(*http.Request) (*http.Response, error) { return answer(test.text, ""), nil }),
			})
			a, err := i.Ask(t.Context(), "token")
			if errors.Is(err, ErrUnreachable) != (test.keep == unknown) || (err != nil) != (test.keep == unknown) {
				t.Errorf("%s: got the error %v", test.name, err)
			}
			want := Answer{Active: test.keep >= 0, Keep: max(test.keep, 0)}
			if test.keep == inactive {
				want.Keep = 5 * time.Second
			}
			if a.Active != want.Active || a.Keep != want.Keep || (a.Claims.values != nil) != want.Active {
				t.Errorf("%s: got %+v, want %+v", test.name, a, want)
			}
			i.Close()
		})
	}
}

func TestAnswersMustBeForUsWhereThatIsAsked(t *testing.T) {
	for text, want := range map[string]bool{
		`{"active":true,"sub":"u"}`:                           false,
		`{"active":true,"sub":"u","aud":"other"}`:             false,
		`{"active":true,"sub":"u","aud":[]}`:                  false,
		`{"active":true,"sub":"u","aud":"` + audience + `"}`:  true,
		`{"active":true,"sub":"u","aud":["` + audience + `"]`: false, // broken
	} {
		i := introspector(t, IntrospectorOptions{
			URL: "https://login.example/", Audience: []string{audience},
			HTTP: inMemory(func(*http.Request) (*http.Response, error) { return answer(text, ""), nil }),
		})
		if a, _ := i.Ask(t.Context(), "token"); a.Active != want {
			t.Errorf("%s: active is %v, want %v", text, a.Active, want)
		}
	}
}

// Who answers instead of the issuer gets neither the secret nor the token, and an
// outage says nothing of the token.
func TestOutagesAreNoAnswer(t *testing.T) {
	got := make(chan string, 100)
	thief := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		got <- r.Header.Get("Authorization") + r.PostForm.Encode()
		fmt.Fprint(w, `{"active":true,"sub":"u"}`)
	}))
	defer thief.Close()
	answers := failures(t)
	delete(answers, "empty") // JWK sets
	delete(answers, "no key")
	for _, status := range []int{301, 302, 303, 307, 308, 400, 401, 403, 404, 429, 500, 503} {
		answers[fmt.Sprint(status)] = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", thief.URL)
			w.WriteHeader(status)
			fmt.Fprint(w, `{"active":true,"sub":"u"}`)
		}
	}
	for name, failure := range answers {
		l := newLogin(t, failure)
		client := l.Client()
		if strings.HasPrefix(name, "hangs") {
			client.Timeout = 100 * time.Millisecond
		}
		for _, in := range []SecretIn{SecretInHeader, SecretInBody} {
			i := introspector(t, IntrospectorOptions{URL: l.URL, HTTP: client, SecretIn: in})
			a, err := i.Ask(t.Context(), "the-token")
			if !errors.Is(err, ErrUnreachable) || a.Active || a.Keep != 0 {
				t.Errorf("%s: got %+v, %v", name, a, err)
			}
			for _, secret := range []string{"the-token", "wörd", "w%C3%B6rd", base64.StdEncoding.EncodeToString([]byte("gate"))} {
				if err != nil && strings.Contains(err.Error(), secret) {
					t.Errorf("%s: %v quotes %q", name, err, secret)
				}
			}
		}
	}
	close(got)
	for request := range got {
		t.Errorf("another server was told %q", request)
	}
}

func TestOneQuestionForEachTokenAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		answers := make(chan struct{})
		i := introspector(t, IntrospectorOptions{URL: "https://login.example/", HTTP: inMemory(func(r *http.Request) (*http.Response, error) {
			asked.Add(1)
			<-answers
			r.ParseForm()
			return answer(fmt.Sprintf(`{"active":true,"sub":%q}`, r.PostForm.Get("token")), ""), nil
		})})
		var all sync.WaitGroup
		for n := range 90 {
			all.Go(func() {
				token := fmt.Sprint("token-", n%3)
				a, err := i.Ask(t.Context(), token)
				if sub, _ := a.Claims.Text(top("sub")); err != nil || sub != token {
					t.Errorf("%s: got %q, %v", token, sub, err)
				}
			})
		}
		synctest.Wait()
		if n := asked.Load(); n != 3 {
			t.Errorf("the issuer was asked %d times, want 3", n)
		}
		close(answers)
		all.Wait()
		if a, err := i.Ask(t.Context(), "token-0"); err != nil || !a.Active || asked.Load() != 4 {
			t.Errorf("asked anew: got %+v, %v, %d questions in all", a, err, asked.Load())
		}
		i.Close()
	})
}

func TestFewQuestionsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := introspector(t, IntrospectorOptions{URL: "https://login.example/", HTTP: inMemory(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})})
		var all sync.WaitGroup
		for n := range maxQuestions {
			all.Go(func() {
				if _, err := i.Ask(t.Context(), fmt.Sprint("token-", n)); !errors.Is(err, ErrUnreachable) {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		if _, err := i.Ask(t.Context(), "one-more"); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "too much") {
			t.Errorf("got %v, want it refused at once", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := i.Ask(ctx, "token-0"); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnreachable) {
			t.Errorf("got %v, want it to end with the request", err)
		}
		i.Close() // and all that are asked
		all.Wait()
		if len(i.questions) != 0 {
			t.Errorf("%d questions are left", len(i.questions))
		}
		if _, err := i.Ask(t.Context(), "token"); !errors.Is(err, ErrUnreachable) {
			t.Errorf("after Close: got %v", err)
		}
	})
}

func TestWhatIsNoTokenIsNotAskedAbout(t *testing.T) {
	i := introspector(t, IntrospectorOptions{URL: "https://login.example/", HTTP: inMemory(func(*http.Request) (*http.Response, error) {
		t.Error("the issuer was asked")
		return answer(`{"active":true,"sub":"u"}`, ""), nil
	})})
	for _, token := range []string{"", "=", "a b", "a\nb", "a\x00", "ä", "a&token=b", "a=b", strings.Repeat("a", MaxLength+1), strings.Repeat("=", MaxLength+1)} {
		if a, err := i.Ask(t.Context(), token); err != nil || a.Active || a.Keep != keepInactive {
			t.Errorf("%.20q: got %+v, %v", token, a, err)
		}
	}
}

func TestIntrospectorOptionsThatCannotWork(t *testing.T) {
	good := IntrospectorOptions{URL: "https://login.example/", Client: "gate", Secret: apikey.NewSecret("word")}
	if i, err := NewIntrospector(good); err != nil {
		t.Fatal(err)
	} else {
		i.Close()
	}
	for name, change := range map[string]func(o *IntrospectorOptions){
		"nothing":           func(o *IntrospectorOptions) { *o = IntrospectorOptions{} },
		"http":              func(o *IntrospectorOptions) { o.URL = "http://login.example/" },
		"no client":         func(o *IntrospectorOptions) { o.Client = "" },
		"no secret":         func(o *IntrospectorOptions) { o.Secret = apikey.Secret{} },
		"another way":       func(o *IntrospectorOptions) { o.SecretIn = 7 },
		"an empty audience": func(o *IntrospectorOptions) { o.Audience = []string{""} },
		"a great leeway":    func(o *IntrospectorOptions) { o.Leeway = MaxLeeway + 1 },
		"less than no time": func(o *IntrospectorOptions) { o.Keep = -1 },
	} {
		o := good
		change(&o)
		if i, err := NewIntrospector(o); err == nil || i != nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "word") {
			t.Errorf("%s: %v has the secret", name, err)
		}
	}
	if got := fmt.Sprintf("%v %+v %#v", good, good, good); strings.Contains(got, "word") {
		t.Errorf("options print as %s", got)
	}
}
