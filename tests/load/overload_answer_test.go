package main

import (
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

func deny(code int32) *authv3.CheckResponse {
	return &authv3.CheckResponse{
		Status: &status.Status{Code: 7},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode(code)},
		}},
	}
}

// fail is a failure of the gate's own for reason, with headers.
func fail(reason, body string, headers ...*corev3.HeaderValueOption) *authv3.CheckResponse {
	return &authv3.CheckResponse{
		Status:          &status.Status{Code: 14},
		DynamicMetadata: &structpb.Struct{Fields: map[string]*structpb.Value{"reason": structpb.NewStringValue(reason)}},
		HttpResponse: &authv3.CheckResponse_ErrorResponse{ErrorResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: 503}, Headers: headers, Body: body,
		}},
	}
}

var retryAfter = &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: "retry-after", Value: "1"}}

func TestAnAnswerIsRightForWhoAsks(t *testing.T) {
	allowed, _ := allow(0)
	tests := []struct {
		name             string
		answer           *authv3.CheckResponse
		known, strangers ending
	}{
		{"allowed", allowed, right, wrong},
		{"denied", deny(401), wrong, right},
		{"too much", fail("gate.overloaded", "{}", retryAfter), tooMuch, tooMuch},
		{"another failure", fail("gate.store_failed", "{}", retryAfter), wrong, wrong},
		{"nothing", &authv3.CheckResponse{}, wrong, wrong},
		{"a bare refusal", &authv3.CheckResponse{Status: &status.Status{Code: 7}}, wrong, wrong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			message, err := proto.Marshal(tt.answer)
			if err != nil {
				t.Fatal(err)
			}
			if got := judge(message, false); got != tt.known {
				t.Errorf("whose key is known: got %d, want %d", got, tt.known)
			}
			if got := judge(message, true); got != tt.strangers {
				t.Errorf("a stranger: got %d, want %d", got, tt.strangers)
			}
			if len(message) > 0 && judge(message[:len(message)-1], true) == right {
				t.Error("a cut message is right")
			}
		})
	}
}

func TestWhatJudgeLeavesOut(t *testing.T) {
	allowed, _ := allow(0)
	tests := []struct {
		name     string
		answer   *authv3.CheckResponse
		stranger bool
		judged   ending
		good     bool
	}{
		{"less than a decision", allowed, false, right, false},
		{"401", deny(401), true, right, true},
		{"403", deny(403), true, right, false},
		{"too much", fail("gate.overloaded", "{}", retryAfter), false, tooMuch, true},
		{"without a body", fail("gate.overloaded", "", retryAfter), false, tooMuch, false},
		{"without a time", fail("gate.overloaded", "{}"), false, tooMuch, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			message, err := proto.Marshal(tt.answer)
			if err != nil {
				t.Fatal(err)
			}
			if err := judgeWhole(message, tt.stranger, tt.judged); (err == nil) != tt.good {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTallyAddsUp(t *testing.T) {
	one, two := newTally(time.Second), newTally(time.Second)
	for i := range 50 {
		one.add(right, time.Duration(i)*time.Millisecond)
		two.add(right, time.Duration(50+i)*time.Millisecond)
		two.add(late, time.Minute)
	}
	two.add(right, time.Hour) // kept as the longest there is
	two.calls[unsent] += 49
	one.merge(two)
	if one.due() != 200 || one.share(right) != 101.0/200 || one.share(late) != 0.25 || one.share(tooMuch) != 0 {
		t.Errorf("got %v", one.calls)
	}
	for q, want := range map[float64]time.Duration{0.5: 50 * time.Millisecond, 1: time.Second} {
		if got := one.quantile(right, q); got < want || got > want+time.Millisecond {
			t.Errorf("%g of the right answers took %s, want %s", q, got, want)
		}
	}
	if got := one.within(right, 20*time.Millisecond); got != 20.0/101 {
		t.Errorf("%g of the right answers took 20 ms at most", got)
	}
	if got := one.quantile(tooMuch, 0.5); got != 0 {
		t.Errorf("half of no refusals took %s", got)
	}
	if empty := newTally(time.Second); empty.share(right) != 0 {
		t.Error("a share of nothing")
	}
}
