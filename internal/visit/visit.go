// Package visit is one request to an endpoint that an API mounts on its own paths
// and the gate serves: who sent it, by the proof that Check let it pass, and how
// it is answered in the API's own words and shapes. What the endpoints do is in
// the rooms above.
//
// A Visit is for one goroutine.
package visit

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/proof"
	"github.com/sallyport/sallyport/internal/render"
)

// Visit is one request to an endpoint.
type Visit struct {
	W         http.ResponseWriter
	R         *http.Request
	API       *sallyport.API
	Operation *sallyport.Operation
	Said      proof.Statement
	Now       time.Time

	log *slog.Logger
}

// Door lets requests in.
type Door struct {
	Keys   []proof.Key // of the proofs: the current one, and while peppers rotate the older ones
	Policy func() *sallyport.Policy
	Now    func() time.Time
	Log    *slog.Logger
}

// Enter returns the visit that r is. Without the proof that Check let it pass, or
// where the policy no longer has the endpoint, it answers and returns nil.
func (d *Door) Enter(w http.ResponseWriter, r *http.Request) *Visit {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	said, err := proof.Verify(d.Keys, r.Header.Get(proof.Header), r.Method, r.URL.EscapedPath(), d.Now())
	if err != nil {
		problem(w, "nothing is served here; APIs' endpoints are reached through Envoy")
		return nil
	}
	v := &Visit{W: w, R: r, Said: said, API: d.Policy().API(said.API), Now: d.Now(), log: d.Log}
	if v.API != nil {
		v.Operation = v.API.Operation(said.Operation)
	}
	if v.Operation == nil || v.Operation.Serve == "" {
		problem(w, "the configuration no longer has this endpoint")
		return nil
	}
	return v
}

// problem answers 404 (RFC 9457): there is no API in whose shape to do it.
func problem(w http.ResponseWriter, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusNotFound)
	// The caller may have gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(map[string]any{"status": http.StatusNotFound, "title": http.StatusText(http.StatusNotFound), "detail": detail})
}

// Answer answers with body as JSON.
func (v *Visit) Answer(status int, body any) {
	v.W.Header().Set("Content-Type", "application/json")
	v.W.WriteHeader(status)
	_ = json.NewEncoder(v.W).Encode(body) // as in problem
}

// Refusal says more of a refusal than its kind.
type Refusal struct {
	Message string            // in the place of the API's own; "": that
	Missing string            // the scope that is missing
	Verdict sallyport.Verdict // the quota to tell
}

// Refuse answers with a refusal in the API's own shape.
func (v *Visit) Refuse(kind sallyport.Kind, why Refusal) {
	answers, err := render.NewAnswers(v.API)
	if err != nil { // a policy in force has answers that compile
		problem(v.W, "the server could not answer; its log says why")
		v.log.Error("answers of an API in force do not compile", "api", v.API.Name, "error", err)
		return
	}
	var text render.Text
	vars := render.Vars{
		RequestID: v.Said.RequestID, API: v.Said.API, Tenant: v.Said.Tenant, Credential: v.Said.Credential,
		Operation: v.Said.Operation, MissingScope: why.Missing, Message: why.Message, Now: v.Now,
	}
	r := answers.RefuseSaying(kind, &vars, &why.Verdict, v.Now, nil, &text)
	v.headers(r.Headers)
	v.W.WriteHeader(r.Status)
	_, _ = v.W.Write([]byte(r.Body)) // as in problem
}

// TellQuota adds the API's quota headers to the answer that comes.
func (v *Visit) TellQuota(verdict *sallyport.Verdict) {
	var text render.Text
	v.headers(render.AppendQuota(nil, &v.API.Headers, verdict, v.Now, &text))
}

func (v *Visit) headers(list []sallyport.Header) {
	for _, h := range list {
		v.W.Header().Set(h.Name, h.Value)
	}
}
