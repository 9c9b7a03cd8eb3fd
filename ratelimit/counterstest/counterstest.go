// Package counterstest is what every implementation of ratelimit.Counters must
// hold, as tests that each runs on its own: in this process, in Redis, behind
// whatever wraps them. A test moves time itself and never sleeps.
//
// It is for tests only. The in-process counters pass in a few seconds; others
// are asked some ten thousand times.
package counterstest

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/ratelimit"
)

// Clock is the clock of counters that do not go by Call.Now.
type Clock interface {
	// Set makes it now for all counters that are tested.
	Set(now time.Time)
}

// Options says what differs between implementations. The zero value is right
// for counters that go by Call.Now, live in one instance and keep any amount.
type Options struct {
	Clock Clock                                                   // nil: Call.Now rules
	Twin  func(*testing.T, ratelimit.Counters) ratelimit.Counters // another instance on the same counters; nil: there is none
	Most  uint64                                                  // where amounts saturate; 0: at the largest there is
}

// Run holds the counters that fresh returns, in which nothing is used, against
// the contract of ratelimit.Counters.
func Run(t *testing.T, fresh func(*testing.T) ratelimit.Counters, options Options) {
	if options.Most == 0 {
		options.Most = math.MaxUint64
	}
	for _, group := range [][]promise{takes(), windows(), others(), crowds(), laws()} {
		for _, p := range group {
			t.Run(p.name, func(t *testing.T) {
				tr := &trial{test: t, counters: fresh(t), options: options}
				tr.at(0)
				p.hold(t, tr)
			})
		}
	}
}

// promise is one thing that counters hold; its name says which.
type promise struct {
	name string
	hold func(*testing.T, *trial)
}

// epoch is the start of an hour, and not of a day.
var epoch = time.Unix(1_700_000_000-1_700_000_000%3600, 0)

// trial is counters under test and what time it is for them.
type trial struct {
	test
	counters ratelimit.Counters
	options  Options
	now      time.Time
}

// test is a *testing.T or a *rapid.T.
type test interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
	Errorf(string, ...any)
}

// at makes it d after the epoch.
func (tr *trial) at(d time.Duration) { tr.set(epoch.Add(d)) }

func (tr *trial) set(now time.Time) {
	tr.now = now
	if tr.options.Clock != nil {
		tr.options.Clock.Set(now)
	}
}

func subject(credential string) *sallyport.Subject {
	return &sallyport.Subject{API: "orders", Tenant: "t1", Credential: credential, Principal: credential}
}

// call is a call for hits of credential k1 on charges.
func (tr *trial) call(charges []sallyport.Charge, hits uint64) ratelimit.Call {
	return ratelimit.Call{Now: tr.now, Subject: subject("k1"), Charges: charges, Hits: hits}
}

func (tr *trial) do(call ratelimit.Call) sallyport.Verdict {
	tr.Helper()
	v, err := tr.counters.Take(context.Background(), call)
	if err != nil {
		tr.Fatal(err)
	}
	return v
}

func (tr *trial) take(charges []sallyport.Charge, hits uint64) sallyport.Verdict {
	tr.Helper()
	return tr.do(tr.call(charges, hits))
}

// foresee is a take that takes nothing.
func (tr *trial) foresee(charges []sallyport.Charge, hits uint64) sallyport.Verdict {
	tr.Helper()
	call := tr.call(charges, hits)
	call.Dry = true
	return tr.do(call)
}

// left is what remains in the window told of.
func (tr *trial) left(charges []sallyport.Charge) uint64 {
	tr.Helper()
	return tr.take(charges, 0).Remaining
}

// must fails the test where a call that returns nothing else fails.
func (tr *trial) must(err error) {
	tr.Helper()
	if err != nil {
		tr.Fatal(err)
	}
}

// refused fails the test where v allows.
func (tr *trial) refused(v sallyport.Verdict) {
	tr.Helper()
	if v.Allowed {
		tr.Fatalf("allowed: %+v", v)
	}
}

// allowed fails the test where v refuses, or remaining is not what v tells.
func (tr *trial) allowed(v sallyport.Verdict, remaining uint64) {
	tr.Helper()
	if !v.Allowed || v.Remaining != remaining {
		tr.Fatalf("got %+v, want allowed with %d remaining", v, remaining)
	}
}

// charge is a limit per credential with windows as operators write them.
func charge(name string, windows ...string) sallyport.Charge {
	c := sallyport.Charge{Limit: &sallyport.Limit{Name: name, Per: []string{"credential"}}}
	for _, text := range windows {
		c.Windows = append(c.Windows, window(text))
	}
	return c
}

func charges(windows ...string) []sallyport.Charge {
	return []sallyport.Charge{charge("requests", windows...)}
}

// window is one that the test itself wrote, so it can be read.
func window(text string) sallyport.Window {
	w, err := sallyport.ParseWindow(text)
	if err != nil {
		panic(err)
	}
	return w
}
