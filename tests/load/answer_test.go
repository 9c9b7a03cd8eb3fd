package main

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
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
