package main

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

func TestOnlyAnOKIsGood(t *testing.T) {
	ok := &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}}
	denied := &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{}}
	failed := &authv3.CheckResponse_ErrorResponse{ErrorResponse: &authv3.DeniedHttpResponse{}}
	tests := []struct {
		name     string
		response *authv3.CheckResponse
		want     bool
	}{
		{"empty OK", &authv3.CheckResponse{Status: &status.Status{}, HttpResponse: ok}, true},
		{"no status", &authv3.CheckResponse{HttpResponse: ok}, true},
		{"metadata", &authv3.CheckResponse{HttpResponse: ok, DynamicMetadata: &structpb.Struct{}}, true},
		{"denied", &authv3.CheckResponse{Status: &status.Status{Code: 7}, HttpResponse: denied}, false},
		{"denied with status 0", &authv3.CheckResponse{HttpResponse: denied}, false},
		{"our own failure", &authv3.CheckResponse{HttpResponse: failed}, false},
		{"OK with a code", &authv3.CheckResponse{Status: &status.Status{Code: 7}, HttpResponse: ok}, false},
		{"OK with a message", &authv3.CheckResponse{Status: &status.Status{Message: "x"}, HttpResponse: ok}, false},
		{"nothing", &authv3.CheckResponse{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			message, err := proto.Marshal(tt.response)
			if err != nil {
				t.Fatal(err)
			}
			if got := quickCheck(message) == nil; got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	if quickCheck([]byte{0x1a, 9, 0}) == nil {
		t.Error("a cut message passed")
	}
	if err := quickCheck([]byte{0x0a, 2, 0x08, 0, 0x1a, 0}); err != nil {
		t.Error("a written code 0 did not pass:", err)
	}
}

func TestOnlyARefusalIsGoodForAStranger(t *testing.T) {
	refusal := func(code typev3.StatusCode) *authv3.CheckResponse_DeniedResponse {
		return &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{Status: &typev3.HttpStatus{Code: code}}}
	}
	refused := &status.Status{Code: 16}
	tests := []struct {
		name        string
		response    *authv3.CheckResponse
		quick, full bool
	}{
		{"unknown", &authv3.CheckResponse{Status: refused, HttpResponse: refusal(401)}, true, true},
		{"metadata", &authv3.CheckResponse{Status: refused, HttpResponse: refusal(401), DynamicMetadata: &structpb.Struct{}}, true, true},
		{"our own failure", &authv3.CheckResponse{Status: refused, HttpResponse: refusal(503)}, true, false},
		{"no status", &authv3.CheckResponse{HttpResponse: refusal(401)}, false, true},
		{"a status of 0", &authv3.CheckResponse{Status: &status.Status{}, HttpResponse: refusal(401)}, false, true},
		{"OK", &authv3.CheckResponse{Status: refused, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}}}, false, false},
		{"nothing", &authv3.CheckResponse{}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			message, err := proto.Marshal(tt.response)
			if err != nil {
				t.Fatal(err)
			}
			var x exchange = stranger{}
			if quick, full := x.quick(message) == nil, x.full(message) == nil; quick != tt.quick || full != tt.full {
				t.Errorf("got %v and in full %v, want %v, %v", quick, full, tt.quick, tt.full)
			}
		})
	}
	if quickRefusal([]byte{0x12, 9, 0}) == nil {
		t.Error("a cut message passed")
	}
}

func TestWholeDecisionIsDemanded(t *testing.T) {
	response := whole()
	if err := check(t, response); err != nil {
		t.Fatal("a whole decision did not pass:", err)
	}
	response.GetOkResponse().ResponseHeadersToAdd = nil
	if check(t, response) == nil {
		t.Error("an answer without quota headers passed")
	}
	response = whole()
	delete(response.DynamicMetadata.Fields, "credential")
	if check(t, response) == nil {
		t.Error("an answer without the credential in its metadata passed")
	}
	response = whole()
	response.GetOkResponse().Headers = response.GetOkResponse().Headers[1:]
	if check(t, response) == nil {
		t.Error("an answer without the tenant's header passed")
	}
}

func check(t *testing.T, response *authv3.CheckResponse) error {
	t.Helper()
	message, err := proto.Marshal(response)
	if err != nil {
		t.Fatal(err)
	}
	return fullCheck(message, true)
}

func whole() *authv3.CheckResponse {
	add := func(all *[]*corev3.HeaderValueOption, names ...string) {
		for _, name := range names {
			*all = append(*all, &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: name, RawValue: []byte("v")}})
		}
	}
	ok := &authv3.OkHttpResponse{}
	add(&ok.Headers, "x-sallyport-tenant", "x-sallyport-credential", "x-sallyport-scopes", "x-sallyport-plan")
	add(&ok.ResponseHeadersToAdd, "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
	fields := make(map[string]*structpb.Value)
	for _, name := range []string{"api", "tenant", "credential", "plan", "operation", "limits"} {
		fields[name] = structpb.NewStringValue("v")
	}
	return &authv3.CheckResponse{
		HttpResponse:    &authv3.CheckResponse_OkResponse{OkResponse: ok},
		DynamicMetadata: &structpb.Struct{Fields: fields},
	}
}
