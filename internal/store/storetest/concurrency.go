package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

func parallelUpdates(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	c := credential("k1", "acme")
	c.Scopes = nil
	mustCredential(t, ctx, s, c)
	scopes := numbered("scope%02d", 40)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for _, scope := range scopes[i*10 : i*10+10] {
				_, err := s.UpdateCredential(ctx, "orders", "acme", "k1", false, func(c *sallyport.Credential) error {
					c.Scopes = append(c.Scopes, scope)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				if _, err := s.ByDigest(ctx, digest("k1")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := s.Credential(ctx, "orders", "acme", "k1")
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]bool{}
	for _, scope := range got.Scopes {
		kept[scope] = true
	}
	if len(got.Scopes) != len(scopes) || len(kept) != len(scopes) {
		t.Errorf("got %d changes (%d different), want %d", len(got.Scopes), len(kept), len(scopes))
	}
}

func parallelCreates(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			c := credential("k1", "acme")
			secret := digest("k1")
			if i%2 == 0 { // half of them fight for the id, half for the digest too
				secret = digest(string(rune('a' + i)))
			}
			switch err := s.CreateCredential(ctx, sallyport.NewCredential{Credential: c, Digest: secret}); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, sallyport.ErrConflict):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("got %d winners, want 1", won.Load())
	}
}

// parallelNames: a name is looked for and taken at once, by creations and by
// changes alike.
func parallelNames(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	for i := range 4 {
		c := credential(fmt.Sprintf("old%d", i), "acme")
		c.Name = c.ID
		mustCredential(t, ctx, s, c)
	}
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			var err error
			if i < 4 {
				n := with(credential(fmt.Sprintf("new%d", i), "acme"), fmt.Sprint(i))
				n.UniqueName = true
				err = s.CreateCredential(ctx, n)
			} else {
				_, err = s.UpdateCredential(ctx, "", "", fmt.Sprintf("old%d", i-4), true, func(c *sallyport.Credential) error {
					c.Name = credential("", "").Name
					return nil
				})
			}
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, sallyport.ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("got %d winners, want 1", won.Load())
	}
}

// parallelUses: of those who come with one secret at once, one gets what follows
// it; the others end the grant, and with it what the first has got.
func parallelUses(t *testing.T, ctx context.Context, s Store) {
	mustGrant(t, ctx, s, "g1")
	var won, reused atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			_, err := s.UseGrantSecret(ctx, digest("g1 code"), created, func(*sallyport.Credential, sallyport.GrantSecret) ([]sallyport.GrantSecret, error) {
				return []sallyport.GrantSecret{refresh(fmt.Sprint("r", i))}, nil
			})
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, sallyport.ErrReused):
				reused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || reused.Load() != 7 {
		t.Errorf("got %d winners and %d reused, want 1 and 7", won.Load(), reused.Load())
	}
	wantGrant(t, ctx, s, "g1", sallyport.Revoked, 1)
}

// parallelSigningKeys: who finds no key and makes one is alone in that.
func parallelSigningKeys(t *testing.T, ctx context.Context, s Store) {
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			switch err := s.CreateSigningKey(ctx, signingKey(fmt.Sprint("s", i)), nil); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, sallyport.ErrConflict):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if keys, err := s.SigningKeys(ctx, "orders"); won.Load() != 1 || len(keys) != 1 || err != nil {
		t.Errorf("got %d winners and %d keys, %v, want 1 and 1", won.Load(), len(keys), err)
	}
}

// deadlineOfWriters: while one change takes its time, others leave at their
// deadline with its error, nobody who reads waits, and what left did nothing.
func deadlineOfWriters(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	mustCredential(t, ctx, s, credential("k1", "acme"))
	held, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _, err := s.UpdateTenant(ctx, "orders", "acme", func(t *sallyport.Tenant) error {
			close(held)
			<-release
			t.Plan = "free"
			return nil
		})
		wants(t, "the change that took its time", err, nil)
	})
	<-held
	if c, err := s.ByDigest(ctx, digest("k1")); err != nil || c.Tenant.Plan != "custom" {
		t.Errorf("a read during a change: got %+v, %v", c, err)
	}
	for what, write := range map[string]func(ctx context.Context) error{
		"CreateTenant": func(ctx context.Context) error { return s.CreateTenant(ctx, tenant("late")) },
		"CreateCredential": func(ctx context.Context) error {
			return s.CreateCredential(ctx, with(credential("k2", "acme"), "k2"))
		},
		"ImportCredentials": func(ctx context.Context) error {
			_, err := s.ImportCredentials(ctx, []sallyport.NewCredential{with(credential("k2", "acme"), "k2")})
			return err
		},
		"CreateUser":       func(ctx context.Context) error { return s.CreateUser(ctx, user("u2", "acme")) },
		"RenewSecret":      func(ctx context.Context) error { return s.RenewSecret(ctx, digest("k1"), digest("k2"), 2) },
		"RevokeAdminToken": func(ctx context.Context) error { return s.RevokeAdminToken(ctx, "a1") },
		"CreateAdminToken": func(ctx context.Context) error { return s.CreateAdminToken(ctx, adminToken("a1"), digest("a1")) },
		"CreateSigningKey": func(ctx context.Context) error { return s.CreateSigningKey(ctx, signingKey("s1"), nil) },
		"CreateSender":     func(ctx context.Context) error { return s.CreateSender(ctx, sender("w1", "acme")) },
		"RevokeToken":      func(ctx context.Context) error { return s.RevokeToken(ctx, "orders", "t1", created) },
		"SweepOAuth":       func(ctx context.Context) error { _, err := s.SweepOAuth(ctx, created); return err },
		"UpdateCredential": func(ctx context.Context) error {
			_, err := s.UpdateCredential(ctx, "orders", "acme", "k1", false, func(c *sallyport.Credential) error { c.Name = "late"; return nil })
			return err
		},
	} {
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		start := time.Now()
		wants(t, what, write(short), context.DeadlineExceeded)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s held its caller for %v", what, took)
		}
		cancel()
	}
	close(release)
	wg.Wait()
	mustTenant(t, ctx, s, tenant("next")) // the store goes on
	_, err := s.Tenant(ctx, "orders", "late")
	wants(t, "a tenant that was given up", err, sallyport.ErrNotFound)
	if c, err := s.ByDigest(ctx, digest("k1")); err != nil || c.Name == "late" || c.Tenant.Plan != "free" {
		t.Errorf("after all: got %+v, %v", c, err)
	}
}

func finishedContext(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err := s.ByDigest(gone, digest("k1"))
	wants(t, "ByDigest", err, context.Canceled)
	wants(t, "Ping", s.Ping(gone), context.Canceled)
	wants(t, "Digests", s.Digests(gone, func(sallyport.Digest, int) error { return nil }), context.Canceled)
	wants(t, "CreateTenant", s.CreateTenant(gone, tenant("late")), context.Canceled)
	_, _, err = s.UpdateTenant(gone, "orders", "acme", func(*sallyport.Tenant) error {
		t.Error("a change was run")
		return nil
	})
	wants(t, "UpdateTenant", err, context.Canceled)
	_, err = s.Tenant(ctx, "orders", "late")
	wants(t, "Tenant", err, sallyport.ErrNotFound)

	// A context that ends while the change runs: nothing is kept.
	ending, cancel := context.WithCancel(ctx)
	_, _, err = s.UpdateTenant(ending, "orders", "acme", func(t *sallyport.Tenant) error {
		t.Name = "late"
		cancel()
		return nil
	})
	wants(t, "UpdateTenant", err, context.Canceled)
	if got, err := s.Tenant(ctx, "orders", "acme"); err != nil || got.Name == "late" {
		t.Errorf("got %+v, %v", got, err)
	}
	mustTenant(t, ctx, s, tenant("next"))
}

func changePanics(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic did not reach the caller")
			}
		}()
		s.UpdateTenant(ctx, "orders", "acme", func(*sallyport.Tenant) error { panic("a fault of the caller's") })
	}()
	mustTenant(t, ctx, s, tenant("next"))
}
