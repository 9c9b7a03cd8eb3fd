package main

import (
	"io"
	"net"
	"net/http"
	"testing"
)

func TestBothProtocolsAreAnswered(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer()
	go server.Serve(listener)
	defer server.Close()
	for want, choose := range map[int]func(*http.Protocols){
		1: func(p *http.Protocols) { p.SetHTTP1(true) },
		2: func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		choose(transport.Protocols)
		got, err := (&http.Client{Transport: transport}).Get("http://" + listener.Addr().String() + "/v1/orders/4711")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(got.Body)
		got.Body.Close()
		transport.CloseIdleConnections()
		if err != nil || got.StatusCode != http.StatusOK || string(text) != body || got.ProtoMajor != want {
			t.Errorf("HTTP/%d: got %s %q by HTTP/%d, %v", want, got.Status, text, got.ProtoMajor, err)
		}
	}
}
