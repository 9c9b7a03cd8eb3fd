package main

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// stall is a caller of a server that answers in a millisecond, but for one call.
type stall struct {
	calls int
	at    int // the number of that call
	long  time.Duration
}

func (s *stall) call() error {
	if s.calls++; s.calls == s.at {
		time.Sleep(s.long)
	}
	time.Sleep(time.Millisecond)
	return nil
}

// sleepUntil is the alarm of a bubble, whose clock is exact.
func sleepUntil(t time.Time) error {
	time.Sleep(time.Until(t))
	return nil
}

// One stall must count for all who came while it lasted: with one caller they
// stand in line, and a client that counted from when it sent would see a single
// slow answer.
func TestPacedCallsCountFromWhenTheyWereDue(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name    string
		callers []caller
		p       pace
		want    []time.Duration
	}{
		{
			"one caller, a stall at the third call",
			[]caller{&stall{at: 3, long: 35 * ms}}, pace{every: 10 * ms, calls: 8},
			[]time.Duration{1 * ms, 1 * ms, 36 * ms, 27 * ms, 18 * ms, 9 * ms, 1 * ms, 1 * ms},
		},
		{
			"calls that come first are not told of",
			[]caller{&stall{at: 3, long: 35 * ms}}, pace{every: 10 * ms, calls: 4, settle: 3},
			[]time.Duration{27 * ms, 18 * ms, 9 * ms, 1 * ms},
		},
		{
			"another caller takes what comes meanwhile",
			[]caller{&stall{at: 2, long: 50 * ms}, &stall{at: 2, long: 50 * ms}}, pace{every: 10 * ms, calls: 4},
			[]time.Duration{1 * ms, 1 * ms, 51 * ms, 51 * ms},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, err := openLoop(tt.callers, tt.p, time.Now(), sleepUntil)
				if err != nil || !slices.Equal(got, tt.want) {
					t.Errorf("got %v, %v; want %v", got, err, tt.want)
				}
			})
		})
	}
}

func TestAlarmIsNotEarly(t *testing.T) {
	a, err := newAlarm()
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	for _, d := range []time.Duration{-time.Second, 0, 1, time.Millisecond} {
		at := time.Now().Add(d)
		if err := a.wait(at); err != nil {
			t.Fatal(err)
		}
		if now := time.Now(); now.Before(at) {
			t.Errorf("%v too early", at.Sub(now))
		}
	}
}

// counted counts the calls of all who share it.
type counted struct{ calls *atomic.Int64 }

func (c counted) call() error {
	c.calls.Add(1)
	return nil
}

func TestClosedLoopMakesEveryCallOnce(t *testing.T) {
	for _, want := range []int{0, 1, 7, 1000} {
		var calls atomic.Int64
		all := []caller{counted{&calls}, counted{&calls}, counted{&calls}}
		if err := closedLoop(all, want); err != nil || calls.Load() != int64(want) {
			t.Errorf("got %d calls, %v; want %d", calls.Load(), err, want)
		}
	}
}
