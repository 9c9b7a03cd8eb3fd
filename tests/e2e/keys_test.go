package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// admin calls the admin API.
func (d *demo) admin(method, path, body string) (answer, error) {
	return d.try(method, d.Admin.URL+path, body, "Authorization: Bearer "+d.Admin.Token, "Content-Type: application/json")
}

// G4: created, disabled, enabled, re-scoped, revoked: each is true on the next
// request, before the admin call has returned to its caller.
func TestChangesHoldOnTheNextRequest(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			d := running(t, "vaultwares", chain)
			url := d.APIs["vaultwares"].URL
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for range 4 {
						lifeOfAKey(t, d, url)
					}
				})
			}
			wg.Wait()
		})
	}
}

// lifeOfAKey makes a key and changes it, with a request after each change.
func lifeOfAKey(t *testing.T, d *demo, url string) {
	var key struct {
		KeyID string `json:"key_id"`
		Key   string
	}
	a, err := d.admin("POST", "/admin/v1/keys", `{"api": "vaultwares", "tenant": "org_custom", "scopes": ["devices:read"]}`)
	if err != nil || json.Unmarshal([]byte(a.body), &key) != nil {
		t.Errorf("create: %v %d %s", err, a.status, a.body)
		return
	}
	expect := func(when string, status int, path string) {
		a, err := d.try("GET", url+path, "", "X-API-Key: "+key.Key)
		for range 5 { // a machine that is too busy to answer in time says nothing of the key
			if err == nil && a.status == http.StatusServiceUnavailable {
				a, err = d.try("GET", url+path, "", "X-API-Key: "+key.Key)
			}
		}
		if err != nil || a.status != status {
			t.Errorf("%s: %d %v, want %d: %s", when, a.status, err, status, a.body)
		}
	}
	change := func(method, path, body string) {
		if a, err := d.admin(method, "/admin/v1/keys/"+key.KeyID+path, body); err != nil || a.status != 200 {
			t.Errorf("%s %s: %v %d %s", path, body, err, a.status, a.body)
		}
	}
	expect("created", 200, "/v1/devices")
	change("PATCH", "", `{"scopes": ["audit:read"]}`)
	expect("re-scoped, old scope", 403, "/v1/devices")
	expect("re-scoped, new scope", 200, "/v1/audit")
	change("PATCH", "", `{"state": "disabled"}`)
	expect("disabled", 401, "/v1/audit")
	change("PATCH", "", `{"state": "active"}`)
	expect("enabled", 200, "/v1/audit")
	change("PATCH", "", `{"allowed_ips": ["203.0.113.7"]}`)
	expect("restricted to another address", 403, "/v1/audit")
	change("PATCH", "", `{"allowed_ips": ["127.0.0.0/8"]}`)
	expect("restricted to this address", 200, "/v1/audit")
	change("POST", "/revoke", "")
	expect("revoked", 401, "/v1/audit")
	if a, _ := d.admin("PATCH", "/admin/v1/keys/"+key.KeyID, `{"state": "active"}`); a.status < 400 {
		t.Errorf("a revoked key was made active: %d", a.status)
	}
	expect("revoked for good", 401, "/v1/audit")
}

// G4: a suspended tenant's keys are refused at once, all of them.
func TestASuspendedTenant(t *testing.T) {
	d := running(t, "vaultwares", "paired")
	url := d.APIs["vaultwares"].URL + "/v1/devices"
	d.cli(t, "tenant", "create", "--api", "vaultwares", "--id", "org_suspended", "--plan", "free")
	keys := []string{d.key(t, "vaultwares", "org_suspended", "--scopes", "devices:read").Key, d.key(t, "vaultwares", "org_suspended", "--scopes", "admin").Key}
	for _, change := range []struct {
		command string
		status  int
	}{{"", 200}, {"disable", 401}, {"enable", 200}} {
		if change.command != "" {
			d.cli(t, "tenant", change.command, "--api", "vaultwares", "--id", "org_suspended")
		}
		for _, key := range keys {
			if a := d.send(t, "GET", url, "X-API-Key: "+key); a.status != change.status {
				t.Errorf("%s: %d, want %d", change.command, a.status, change.status)
			}
		}
	}
}

// V6: an expired key says so, to its bearer alone.
func TestAnExpiredKey(t *testing.T) {
	d := running(t, "vaultwares", "paired")
	url := d.APIs["vaultwares"].URL + "/v1/devices"
	k := d.key(t, "vaultwares", "org_free", "--scopes", "devices:read", "--expires", "2s")
	if a := d.send(t, "GET", url, "X-API-Key: "+k.Key); a.status != 200 {
		t.Fatalf("before its end: %d %s", a.status, a.body)
	}
	eventually(t, "expired_api_key", func() bool {
		a := d.send(t, "GET", url, "X-API-Key: "+k.Key)
		body, _ := a.json(t)["error"].(map[string]any)
		return a.status == 401 && body["code"] == "expired_api_key" && body["type"] == "authentication_error"
	})
}

// G1, G5: a key's secret is nowhere but in the answer that made it: not at the
// upstream, in no log, no metric, no list, no error.
func TestASecretIsShownOnce(t *testing.T) {
	d := running(t, "vaultwares", "paired")
	api := d.APIs["vaultwares"]
	k := d.key(t, "vaultwares", "org_free", "--scopes", "devices:read", "--name", "canary")
	secret := k.Key
	body := secret[len("vw_live_"):]
	var seen bytes.Buffer
	for _, lines := range [][]string{
		{"X-API-Key: " + secret}, {"Authorization: Bearer " + secret}, {"X-API-Key: " + secret, "Authorization: Bearer " + secret},
		{"X-API-Key: " + secret, "Authorization: Basic " + secret}, {"X-API-Key: " + secret + "x"}, {"X-API-Key: " + secret, "X-API-Key: " + secret},
	} {
		for _, path := range []string{"/v1/devices", "/v1/nowhere", "/v1/audit", "/v1/auth/verify", "/v1/devices?k=" + secret} {
			a := d.send(t, "GET", api.URL+path, lines...)
			// The upstream shows what it was sent; what is not for it never gets there.
			fmt.Fprintln(&seen, a.status, a.header, a.body)
		}
	}
	for _, path := range []string{"/admin/v1/keys?api=vaultwares", "/admin/v1/keys/" + k.KeyID, "/admin/v1/status", "/metrics"} {
		a, err := d.admin("GET", path, "")
		if err != nil {
			t.Fatal(err)
		}
		if a.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
		fmt.Fprintln(&seen, a.body)
	}
	seen.WriteString(d.cli(t, "key", "list", "--api", "vaultwares", "--tenant", "org_free"))
	seen.WriteString(d.cli(t, "key", "show", k.KeyID, "--json"))
	seen.WriteString(d.log.String())
	if strings.Contains(seen.String(), body) {
		at := strings.Index(seen.String(), body)
		t.Errorf("the secret stands in: …%s", seen.String()[max(0, at-300):at+len(body)])
	}
	if !strings.Contains(seen.String(), "•••••"+secret[len(secret)-4:]) {
		t.Error("no list shows the key masked")
	}
}
