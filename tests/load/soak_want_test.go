package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// refusal is an answer in the shape of the soak's API.
func refusal(o outcome, age int) told {
	return told{outcome: o, age: age, dump: func() string { return "" }}
}

func TestAnswersAreJudgedByWhatMayBeInForce(t *testing.T) {
	odd := question{want: inOddAges}
	spent := question{want: always(passes), or: exhausted}
	tests := []struct {
		name        string
		q           question
		got         told
		least, most int
		want        string // of the fault; "": it is right
	}{
		{"it passes", question{want: always(passes)}, refusal(passes, 0), 3, 3, ""},
		{"a stranger passes", question{want: always(unknown)}, refusal(passes, 0), 3, 3, "it passed, want 401"},
		{"a stranger is refused", question{want: always(unknown)}, refusal(unknown, 3), 3, 3, ""},
		{"a good key is refused", question{want: always(passes)}, refusal(unknown, 3), 3, 3, "got 401 unauthorized, want 200"},
		{"the gate fails", question{want: always(unknown)}, refusal(outcome{503, "unavailable"}, 3), 3, 3, "got 503 unavailable, want 401"},
		{"by a configuration that is no more", question{want: always(unknown)}, refusal(unknown, 2), 3, 4, "refused by configuration 2, where 3 to 4"},
		{"by one that is not yet", question{want: always(unknown)}, refusal(unknown, 5), 3, 4, "refused by configuration 5"},
		{"listed", odd, refusal(passes, 0), 3, 3, ""},
		{"not listed any more", odd, refusal(passes, 0), 4, 4, "it passed, want 404"},
		{"listed or not while it changes", odd, refusal(passes, 0), 3, 4, ""},
		{"not listed by the newer", odd, refusal(nowhere, 4), 3, 4, ""},
		{"not listed by one that lists it", odd, refusal(nowhere, 3), 3, 4, "got 404 not_found, want 200"},
		{"between two that do not list it", odd, refusal(passes, 0), 4, 6, ""},
		{"a quota left", spent, refusal(passes, 0), 3, 3, ""},
		{"a quota spent", spent, refusal(exhausted, 3), 3, 3, ""},
		{"neither", spent, refusal(narrow, 3), 3, 3, "got 403 forbidden, want 200"},
		{"wrong in itself", question{want: always(passes)}, told{outcome: passes, fault: "the body is not the upstream's", dump: func() string { return "" }}, 3, 3, "the body"},
	}
	for _, tt := range tests {
		got := ""
		if err := tt.q.judge(tt.got, tt.least, tt.most); err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestAgesOverlapUntilSettled(t *testing.T) {
	var a ages
	check := func(least, most int) {
		t.Helper()
		if l, m := a.now(); l != least || m != most {
			t.Errorf("got %d to %d, want %d to %d", l, m, least, most)
		}
	}
	check(0, 0)
	if got := a.begin(); got != 1 {
		t.Errorf("got age %d, want 1", got)
	}
	check(0, 1)
	a.settle()
	check(1, 1)
}

func TestAnswersAreRead(t *testing.T) {
	quota := http.Header{"X-Ratelimit-Limit": {"9"}, "X-Ratelimit-Remaining": {"8"}, "X-Ratelimit-Reset": {"7"}}
	tests := []struct {
		name   string
		status int
		header http.Header
		body   string
		want   outcome
		age    int
		fault  string
	}{
		{"the upstream's", 200, quota, chainBody, passes, 0, ""},
		{"without its quota", 200, nil, chainBody, passes, 0, "0 headers X-Ratelimit-Limit"},
		{"another body", 200, quota, "{}", passes, 0, "the body is not the upstream's"},
		{"a refusal", 401, nil, `{"error":{"code":"unauthorized","age":12}}`, unknown, 12, ""},
		{"Envoy's own words", 503, nil, "no healthy upstream", outcome{503, ""}, 0, "not in the API's shape"},
		{"no code", 401, nil, `{"error":{}}`, outcome{401, ""}, 0, "not in the API's shape"},
	}
	for _, tt := range tests {
		w := httptest.NewRecorder()
		for name, values := range tt.header {
			w.Header()[name] = values
		}
		w.WriteHeader(tt.status)
		fmt.Fprint(w, tt.body)
		got, err := read(w.Result())
		if err != nil || got.outcome != tt.want || got.age != tt.age {
			t.Errorf("%s: got %s of age %d, %v; want %s of age %d", tt.name, got.outcome, got.age, err, tt.want, tt.age)
		}
		if !strings.Contains(got.fault, tt.fault) || tt.fault == "" && got.fault != "" {
			t.Errorf("%s: got fault %q, want %q", tt.name, got.fault, tt.fault)
		}
		if !strings.Contains(got.dump(), tt.body) {
			t.Errorf("%s: the dump lacks the body: %s", tt.name, got.dump())
		}
	}
}

func TestManyFaultsEndTheSoakAndFewAreKept(t *testing.T) {
	ended := 0
	l := newLedger(func() { ended++ })
	for i := range 3 * mostFaults {
		if i == mostFaults-1 && ended != 0 {
			t.Error("ended before there were many faults")
		}
		l.fault("here", errors.New("fault "+string(rune('a'+i))))
	}
	l.answer(passes, time.Millisecond)
	l.answer(unknown, 3*time.Millisecond)
	l.answer(unknown, 5*time.Millisecond)
	l.event("restart of Redis")
	l.joined(200 * time.Millisecond)
	if ended != 1 {
		t.Errorf("ended %d times, want once", ended)
	}
	var text strings.Builder
	l.writeTo(&text)
	for _, want := range []string{
		"3 answers", "200 ×1; 401 unauthorized ×2;", "p50 3.00 ms", "longest 5.00 ms", "restart of Redis ×1;", "longest 200.00 ms", "faults: 30", "here: fault a",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, text.String())
		}
	}
	if got := strings.Count(text.String(), "here: "); got != mostFaults || l.count() != 3*mostFaults {
		t.Errorf("%d faults of %d are kept, want %d of %d", got, l.count(), mostFaults, 3*mostFaults)
	}
}
