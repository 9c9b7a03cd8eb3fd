package requests

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Echo is the upstream that the files are written for, as the demo's is: it
// answers with the request that it got. Two request headers steer it: X-Echo-Status
// (an HTTP status) and X-Echo-Header (a header to send, as Name: value).
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
