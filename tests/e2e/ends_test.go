package e2e

import (
	"syscall"
	"testing"
)

// A4: personal access tokens and OAuth tokens alike end, for good, when their user
// is disabled, when the roles of the user or the account change, when a role comes
// to mean something else, and when an administrator says so. A category that is
// switched off ends nothing.
func TestWhatEndsTokens(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			a := newAccounts(t, chain)
			a.do("user", "create", "--api", "orders", "--tenant", "t1", "--id", "siem", "--service-account", "--role", "Reader")
			update := func(user string, flags ...string) {
				a.do(append([]string{"user", "update", "--api", "orders", "--tenant", "t1", "--id", user}, flags...)...)
			}
			for _, c := range []struct {
				name       string
				end, again func(h holder, user string) // again: as it was before
			}{
				{"its user is disabled",
					func(_ holder, user string) {
						a.do("user", "disable", "--api", "orders", "--tenant", "t1", "--id", user)
					},
					func(_ holder, user string) { a.do("user", "enable", "--api", "orders", "--tenant", "t1", "--id", user) }},
				{"its user's roles change",
					func(_ holder, user string) { update(user, "--role", "Writer") },
					func(_ holder, user string) { update(user, "--role", "Reader") }},
				{"a role of its user's means something else",
					func(holder, string) {
						a.edit("Reader: [orders:read]", "Reader: [orders:read, orders:write]")
						a.do("reload")
					},
					func(holder, string) {
						a.edit("Reader: [orders:read, orders:write]", "Reader: [orders:read]")
						a.do("reload")
					}},
				{"an administrator revokes it",
					func(h holder, _ string) { a.do(h.what, "revoke", h.id) },
					func(h holder, _ string) { a.refuses(h.what, "enable", h.id) }},
			} {
				for user, made := range map[string]func() holder{
					"ana": func() holder { return a.pat("t1") }, "siem": func() holder { return a.oauth("t1", "--user", "siem") },
				} {
					h := made()
					a.use(h, 2, "GET", "/v1/orders", 200) // the second is from the cache
					update(user, "--disable-category", "Sales")
					a.use(h, 1, "GET", "/v1/sales", 403)
					a.use(h, 1, "GET", "/v1/orders", 200)
					update(user, "--disable-category", "")
					a.use(h, 1, "GET", "/v1/sales", 200)

					c.end(h, user)
					if got := a.send(t, "GET", a.Gateway+"/v1/orders", ordersHost, h.line); got.status != 401 || errorCode(t, got) != "unauthorized" {
						t.Errorf("%s, %s: %d %s", c.name, h.what, got.status, got.body)
					}
					c.again(h, user)
					if got := a.send(t, "GET", a.Gateway+"/v1/orders", ordersHost, h.line); got.status != 401 {
						t.Errorf("%s and is as before, %s: %d", c.name, h.what, got.status)
					}
				}
			}
			// The account itself has roles.
			h := a.oauth("t1", "--role", "Reader")
			a.use(h, 2, "GET", "/v1/orders", 200)
			a.do("client", "update", "--role", "Writer", h.id)
			a.use(h, 1, "GET", "/v1/orders", 401)
			a.do("client", "update", "--role", "Reader", h.id)
			a.use(h, 1, "GET", "/v1/orders", 401)

			// A role may come to mean something else while nobody serves.
			h = a.pat("t1")
			a.use(h, 1, "GET", "/v1/orders", 200)
			a.server.end(syscall.SIGTERM)
			a.edit("Reader: [orders:read]", "Reader: [orders:read, orders:write]")
			a.start()
			eventually(t, "the token has ended", func() bool {
				return a.send(t, "GET", a.Gateway+"/v1/orders", ordersHost, h.line).status == 401
			})
		})
	}
}
