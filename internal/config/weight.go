package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport"
)

const (
	maxWeight = 1_000_000
	usualCost = 1000 // that a header may tell
)

// weight compiles how many hits a request of the operation at path counts for.
func (a *api) weight(path string, op *Operation) (weight uint64, cost sallyport.Cost) {
	in, at := op.Weight, field(path, "weight")
	if !a.has(at) {
		return 1, cost
	}
	if !in.mapped {
		return a.hits(at, in.Default, 1), cost
	}
	if !a.has(field(at, "request")) && !a.has(field(at, "response")) && a.whole(at) {
		a.add(at, "names no header", "write weight: NUMBER, or {request: HEADER} or {response: HEADER}")
	}
	a.costHeader(field(at, "request"), in.Request)
	a.costHeader(field(at, "response"), in.Response)
	weight = a.hits(field(at, "default"), in.Default, 1)
	if in.Response != "" && op.Answer != nil {
		a.add(field(at, "response"), "stands beside an answer of the gate's own", "no upstream tells what it cost")
	}
	cost = sallyport.Cost{Request: strings.ToLower(in.Request), Response: strings.ToLower(in.Response)}
	cost.Max = a.hits(field(at, "max"), in.Max, usualCost)
	if cost.Max < weight {
		a.add(field(at, "max"), fmt.Sprintf("is less than the default of %d", weight), "a header could tell no more than none does")
	}
	return weight, cost
}

// hits checks a number of them.
func (a *api) hits(path string, n, usual uint64) uint64 {
	if !a.has(path) {
		return usual
	}
	if n < 1 || n > maxWeight {
		a.add(path, "is out of range", fmt.Sprintf("1 to %d", maxWeight))
	}
	return n
}

// credentialHeaders carry credentials (RFC 9110 §11), wherever an API reads its
// own.
var credentialHeaders = []string{"authorization", "proxy-authorization", "proxy-authenticate", "proxy-authentication-info"}

// costHeader checks the name of a header that tells a number of hits.
func (a *api) costHeader(path, name string) {
	if name == "" {
		return
	}
	problem, hint := headerProblem(name)
	lower := strings.ToLower(name)
	switch {
	case problem != "":
		a.add(path, problem, hint)
	case slices.Contains(credentialHeaders, lower), slices.ContainsFunc(a.in.Credentials.Read, func(p Place) bool { return strings.EqualFold(p.Header, name) }):
		a.add(path, "header "+quote(name)+" carries a credential", "choose another, such as X-Cost")
	}
}
