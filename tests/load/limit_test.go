package main

import (
	"testing"

	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"google.golang.org/protobuf/proto"
)

func TestEveryLimitRequestIsWholeAndItsOwn(t *testing.T) {
	for name, ask := range map[string]limitAsk{"paired": pairedAsk(), "rule": ruleAsk(10, 1), "four": ruleAsk(10, 4)} {
		t.Run(name, func(t *testing.T) {
			x, err := newLimitStencil(ask, 1)
			if err != nil {
				t.Fatal(err)
			}
			people, sids := make(map[string]bool), make(map[string]bool)
			for range ask.subjects {
				var got rlsv3.RateLimitRequest
				if err := proto.Unmarshal(x.next()[5:], &got); err != nil {
					t.Fatal(err)
				}
				patched := unpatch(&got, people, sids)
				if !proto.Equal(&got, ask.request) {
					t.Fatalf("the patched request differs in more than its fields: %v, want %v", &got, ask.request)
				}
				if want := max(1, ask.counted); patched != want {
					t.Fatalf("%d descriptors name a subject, want %d", patched, want)
				}
			}
			if len(people) != ask.subjects {
				t.Errorf("%d subjects in as many requests, want %d", len(people), ask.subjects)
			}
			if name == "paired" && len(sids) != ask.subjects {
				t.Errorf("%d sids in %d requests", len(sids), ask.subjects)
			}
		})
	}
}

// unpatch puts the marks back into r and says in how many places a subject stood.
func unpatch(r *rlsv3.RateLimitRequest, people, sids map[string]bool) (patched int) {
	for _, d := range r.GetDescriptors() {
		for _, e := range d.GetEntries() {
			switch e.GetKey() {
			case "credential", "subject":
				patched++
				head := len(e.GetValue()) - len(subjectMark)
				people[e.GetValue()] = true
				e.Value = e.GetValue()[:head] + subjectMark
			case "sallyport_sid":
				sids[e.GetValue()] = true
				e.Value = sidMark
			case "sallyport_request_id":
				e.Value = requestIDMark
			}
		}
	}
	return patched
}

func TestSubjectsFitTheirDigits(t *testing.T) {
	for _, n := range []int{0, -1, mostSubjects + 1} {
		a := ruleAsk(10, 1)
		a.subjects = n
		if _, err := newLimitStencil(a, 1); err == nil {
			t.Errorf("%d subjects were accepted", n)
		}
	}
}

func TestLimitAnswersAreChecked(t *testing.T) {
	const passed, over = rlsv3.RateLimitResponse_OK, rlsv3.RateLimitResponse_OVER_LIMIT
	limit := &rlsv3.RateLimitResponse_RateLimit{RequestsPerUnit: 5, Unit: rlsv3.RateLimitResponse_RateLimit_HOUR}
	counted := &rlsv3.RateLimitResponse_DescriptorStatus{Code: passed, CurrentLimit: limit}
	bare := &rlsv3.RateLimitResponse_DescriptorStatus{Code: passed}
	type statuses = []*rlsv3.RateLimitResponse_DescriptorStatus
	for _, c := range []struct {
		name        string
		answer      *rlsv3.RateLimitResponse
		counted     int
		quick, full bool // good
	}{
		{"counted", &rlsv3.RateLimitResponse{OverallCode: passed, Statuses: statuses{counted, bare}}, 1, true, true},
		{"empty", &rlsv3.RateLimitResponse{OverallCode: passed}, 0, true, true},
		{"no limit told", &rlsv3.RateLimitResponse{OverallCode: passed, Statuses: statuses{bare}}, 1, true, false},
		{"too few told", &rlsv3.RateLimitResponse{OverallCode: passed, Statuses: statuses{counted}}, 4, true, false},
		{"over", &rlsv3.RateLimitResponse{OverallCode: over, Statuses: statuses{counted}}, 1, false, false},
		{"nothing", &rlsv3.RateLimitResponse{}, 0, false, false},
		{"no code", &rlsv3.RateLimitResponse{Statuses: statuses{counted}}, 1, false, false},
	} {
		message, err := proto.Marshal(c.answer)
		if err != nil {
			t.Fatal(err)
		}
		x := &limitStencil{ask: limitAsk{counted: c.counted}}
		if err := x.quick(message); (err == nil) != c.quick {
			t.Errorf("%s: the quick check says %v", c.name, err)
		}
		if err := x.full(message); (err == nil) != c.full {
			t.Errorf("%s: the full check says %v", c.name, err)
		}
		if c.quick {
			if err := x.quick(message[:len(message)-1]); err == nil {
				t.Errorf("%s: cut short, the quick check accepts it", c.name)
			}
		}
	}
}

func TestTheQuickLimitCheckAllocatesNothing(t *testing.T) {
	message, err := proto.Marshal(&rlsv3.RateLimitResponse{OverallCode: rlsv3.RateLimitResponse_OK})
	if err != nil {
		t.Fatal(err)
	}
	x, err := newLimitStencil(pairedAsk(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := testing.AllocsPerRun(100, func() {
		x.next()
		if x.quick(message) != nil {
			t.Fatal("a good answer was refused")
		}
	}); got != 0 {
		t.Errorf("%v allocations a call, want 0", got)
	}
}

func TestAProbeTakesRefusals(t *testing.T) {
	p := new(probe)
	for _, code := range []rlsv3.RateLimitResponse_Code{1, 2, 2} {
		message, err := proto.Marshal(&rlsv3.RateLimitResponse{OverallCode: code})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.quick(message); err != nil {
			t.Fatal(err)
		}
	}
	if p.passed != 1 || p.refused != 2 {
		t.Errorf("%d passed and %d refused, want 1 and 2", p.passed, p.refused)
	}
	if err := p.quick(nil); err == nil {
		t.Error("an answer without a code was accepted")
	}
}
