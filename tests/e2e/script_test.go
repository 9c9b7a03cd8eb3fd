package e2e

import (
	"path/filepath"
	"testing"

	"github.com/sallyport/sallyport/tests/requests"
)

// names returns the keys, the client and the sender of webhooks of each tenant by
// its plan, and the tenant's id.
func (d *demo) names(api string) (pairs requests.Names) {
	for _, t := range d.APIs[api].Tenants {
		plan := t.Plan
		if plan == "" {
			plan = "default"
		}
		pairs = append(pairs, "{{"+plan+".id}}", t.ID)
		for i, name := range []string{"all", "read", "read2"} {
			pairs = append(pairs, "{{"+plan+"."+name+"}}", t.Keys[i].Key, "{{"+plan+"."+name+".id}}", t.Keys[i].KeyID)
		}
		for _, s := range t.Senders {
			pairs = append(pairs, "{{"+plan+".sender}}", s.ID, "{{"+plan+".sender.secret}}", s.Secret)
		}
		for _, c := range t.Clients {
			pairs = append(pairs, "{{"+plan+".client}}", c.ClientID, "{{"+plan+".client.secret}}", c.Secret)
		}
	}
	return pairs
}

// runSteps runs the requests of an example against d.
func (d *demo) runSteps(t *testing.T, api string) {
	t.Helper()
	g := requests.Gate{Client: d.client, URL: d.APIs[api].URL, AdminURL: d.Admin.URL, AdminToken: d.Admin.Token}
	requests.Run(t, "../../examples/"+api+"/requests.http", g, d.names(api))
}

// Every example passes its own requests, on both chains with the same answers,
// all of them on one server.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/requests.http")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %v, %v; want five examples", files, err)
	}
	for _, chain := range chains {
		for _, file := range files {
			name := filepath.Base(filepath.Dir(file))
			t.Run(name+" "+chain, func(t *testing.T) { running(t, "", chain).runSteps(t, name) })
		}
	}
}
