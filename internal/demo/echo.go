package demo

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The longest that the sample upstream waits, and the most that it reads.
const (
	mostDelay = time.Minute
	mostBody  = 16 << 20
)

// Echo is the sample upstream: it answers with the request that it got, as
// JSON. Three request headers steer it: x-echo-status (an HTTP status),
// x-echo-delay (a duration) and x-echo-header (a header to send, as Name: value).
func Echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	if err != nil {
		http.Error(w, "body could not be read", http.StatusBadRequest)
		return
	}
	if wait, err := time.ParseDuration(r.Header.Get("X-Echo-Delay")); err == nil {
		select {
		case <-time.After(min(wait, mostDelay)):
		case <-r.Context().Done():
			return
		}
	}
	headers := map[string]string{"host": r.Host}
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	for _, line := range r.Header.Values("X-Echo-Header") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			w.Header().Add(strings.TrimSpace(name), strings.TrimSpace(value))
		}
	}
	status, err := strconv.Atoi(r.Header.Get("X-Echo-Status"))
	if err != nil || status < 200 || status > 599 {
		status = http.StatusOK
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if status != http.StatusNoContent && status != http.StatusNotModified {
		json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "path": r.RequestURI, "headers": headers, "body": string(body)})
	}
}
