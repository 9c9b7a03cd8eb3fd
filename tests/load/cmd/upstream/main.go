// Command upstream is what stands behind Envoy while the chain is measured: a
// server that answers every request at once with the same few bytes, by
// HTTP/1.1 and by HTTP/2 without TLS.
//
// It is not measured and stands for no real service. It listens on a free port
// of the loopback interface, prints the address on standard output, and serves
// until it is killed.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// body is known to the client, which thereby knows that its request came here.
const body = `{"id":"4711","state":"shipped"}`

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	log.Fatal(newServer().Serve(listener))
}

func newServer() *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{Handler: http.HandlerFunc(answer), Protocols: &protocols, ReadHeaderTimeout: 10 * time.Second}
}

func answer(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, body)
}
