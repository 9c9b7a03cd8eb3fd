package requests

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Echo is the upstream that the files are written for, as the demo's is: it
// answers with the request that it got. Three request headers steer it: X-Echo-Status
// (an HTTP status), X-Echo-Header (a header to send, as Name: value) and X-Echo-Delay
// (how long it waits, unless the client leaves).
func Echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	headers := map[string]string{"host": r.Host}
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	if wait, err := time.ParseDuration(r.Header.Get("X-Echo-Delay")); err == nil {
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
		}
	}
	for _, line := range r.Header.Values("X-Echo-Header") {
		name, value, _ := strings.Cut(line, ": ")
		w.Header().Add(name, value)
	}
	status, err := strconv.Atoi(r.Header.Get("X-Echo-Status"))
	if err != nil {
		status = http.StatusOK
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A client that has left learns nothing any more.
	_ = json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "path": r.RequestURI, "headers": headers, "body": string(body)})
}
