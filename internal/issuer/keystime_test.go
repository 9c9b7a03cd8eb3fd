package issuer

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The tests here go by the time of synctest, with an issuer that needs no socket.

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func inMemory(f transport) *http.Client { return &http.Client{Transport: f} }

func answer(body, control string) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Cache-Control": {control}}, Body: io.NopCloser(strings.NewReader(body))}
}

func TestSetsAreReadAgainBeforeTheyAreStale(t *testing.T) {
	for _, test := range []struct {
		control string
		stale   time.Duration
	}{{"max-age=600", 10 * time.Minute}, {"", 15 * time.Minute}, {"max-age=1", time.Minute}, {"max-age=9999999", 24 * time.Hour}} {
		synctest.Test(t, func(t *testing.T) {
			var asked []time.Time
			k, err := NewKeys(KeysOptions{From: "https://login.example/", Client: inMemory(func(*http.Request) (*http.Response, error) {
				asked = append(asked, time.Now())
				return answer(ecSet("one"), test.control), nil
			})})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * test.stale)
			synctest.Wait()
			k.Close()
			for i := 1; i < len(asked); i++ {
				if d := asked[i].Sub(asked[i-1]); d >= test.stale || d < test.stale/2 {
					t.Errorf("%q: asked again after %v, want it somewhat before %v", test.control, d, test.stale)
				}
			}
			if len(asked) < 10 {
				t.Errorf("%q: asked %d times only", test.control, len(asked))
			}
		})
	}
}

func TestOutagesAreNotAskedInto(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		var asked atomic.Int32
		k, err := NewKeys(KeysOptions{From: "https://login.example/", Client: inMemory(func(*http.Request) (*http.Response, error) {
			if asked.Add(1); !up.Load() {
				return nil, errors.New("down")
			}
			return answer(ecSet("one"), ""), nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := asked.Load(); n < 12 || n > 30 {
			t.Errorf("asked %d times in an hour, want about every five minutes", n)
		}
		up.Store(true)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if _, err := k.Find(t.Context(), "one", "ES256"); err != nil {
			t.Errorf("after the outage: %v", err)
		}
	})
}

func TestFilesAreReadWhenTheyChange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "jwks.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		write(ecSet("one"))
		var told []State
		k, err := NewKeys(KeysOptions{From: file, KeepFor: time.Minute, Changed: func(s State) { told = append(told, s) }})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		find := func(id string, want error) {
			t.Helper()
			if _, err := k.Find(t.Context(), id, "ES256"); !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", id, err, want)
			}
		}
		later := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		find("one", nil)
		find("two", ErrBad)
		later(time.Hour)
		write(ecSet("two"))
		later(pollEvery)
		find("two", nil)
		find("one", ErrBad)
		write("{half")
		later(pollEvery)
		find("two", nil)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		later(pollEvery)
		find("two", nil)
		later(time.Minute)
		find("two", ErrUnreachable)
		write(ecSet("two"))
		later(pollEvery)
		find("two", nil)
		if len(told) != 6 {
			t.Errorf("told of %d changes, want 6: %+v", len(told), told)
		}
	})
}

func TestFewWaitForAnIssuerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refused atomic.Int32
		answers := make(chan struct{})
		k, err := NewKeys(KeysOptions{From: "https://login.example/", Client: inMemory(func(*http.Request) (*http.Response, error) {
			<-answers
			return answer(ecSet("one"), ""), nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range maxWaiting + 7 {
			all.Go(func() {
				if _, err := k.Find(t.Context(), "one", "ES256"); errors.Is(err, ErrUnreachable) {
					refused.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := refused.Load(); n != 7 {
			t.Errorf("%d did not wait, want 7", n)
		}
		close(answers)
		all.Wait()
		if n := refused.Load(); n != 7 {
			t.Errorf("%d were refused, want 7", n)
		}
		k.Close()
		if n := k.waiting.Load(); n != 0 {
			t.Errorf("%d wait still", n)
		}
	})
}

func TestHangingFetchesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		k, err := NewKeys(KeysOptions{From: "https://login.example/", Client: inMemory(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		if _, err := k.Find(t.Context(), "one", "ES256"); !errors.Is(err, ErrUnreachable) {
			t.Errorf("got %v", err)
		}
		if d := time.Since(start); d != callTime {
			t.Errorf("gave up after %v, want %v", d, callTime)
		}
	})
}
