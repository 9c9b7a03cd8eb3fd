// Package storetest is the contract of a store as tests: every store runs it,
// so that a test which uses the one in memory has tested against all.
//
// It is not for what only one kind of store can promise, such as surviving
// kill -9; that is tested beside the store.
//
// It costs a few hundred milliseconds where a write costs one, and needs a
// fresh, empty store for each law.
package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// Store is all that a store does. What each method promises is said at
// sqlite.Store's.
type Store interface {
	CreateTenant(ctx context.Context, t sallyport.Tenant) error
	Tenant(ctx context.Context, api, id string) (*sallyport.Tenant, error)
	Tenants(ctx context.Context, api, after string, limit int) ([]*sallyport.Tenant, error)
	UpdateTenant(ctx context.Context, api, id string, change func(*sallyport.Tenant) error) (*sallyport.Tenant, error)

	CreateCredential(ctx context.Context, c sallyport.Credential, secret sallyport.Digest, pepper int) error
	Credential(ctx context.Context, api, tenant, id string) (*sallyport.Credential, error)
	Credentials(ctx context.Context, f sallyport.CredentialFilter) ([]*sallyport.Credential, error)
	UpdateCredential(ctx context.Context, api, tenant, id string, change func(*sallyport.Credential) error) (*sallyport.Credential, error)
	ByDigest(ctx context.Context, d sallyport.Digest) (*sallyport.Credential, error)
	Digests(ctx context.Context, yield func(sallyport.Digest) error) error

	CreateAdminToken(ctx context.Context, id, name, role, tenant string, digest sallyport.Digest) error
	AdminTokenByDigest(ctx context.Context, d sallyport.Digest) (*sallyport.AdminToken, error)
	CountAdminTokens(ctx context.Context) (int, error)

	Ping(ctx context.Context) error
}

// Run holds the stores that open returns to the contract. open gives each law
// an empty store of its own and closes it when that law's test ends.
func Run(t *testing.T, open func(t *testing.T) Store) {
	laws := []struct {
		name string
		law  func(t *testing.T, ctx context.Context, s Store)
	}{
		{"an empty store has nothing", emptyStore},
		{"a tenant comes back as it was kept", tenantRoundTrip},
		{"a tenant exists once in an API", tenantConflict},
		{"what cannot be kept is refused", refused},
		{"tenants are listed in pages by id", tenantPages},
		{"a tenant is changed and its key is not", tenantUpdate},
		{"a revoked tenant is final", tenantFinal},

		{"a credential comes back as it was kept", credentialRoundTrip},
		{"a credential and a digest exist once", credentialConflict},
		{"a credential needs its tenant", credentialOrphan},
		{"another's credential is as unknown as any", credentialWalls},
		{"credentials are listed in pages, newest first", credentialPages},
		{"a listing is narrowed by every field", credentialFilters},
		{"a credential is changed and its key is not", credentialUpdate},
		{"a revoked credential is final", credentialFinal},
		{"a refused change changes nothing", changeRefused},
		{"a digest finds the credential and the tenant of now", byDigest},
		{"every digest is told", digests},
		{"what is returned is the caller's own", noSharing},

		{"an admin token is found by its digest", adminTokens},

		{"parallel changes are all kept", parallelUpdates},
		{"of parallel creations one wins", parallelCreates},
		{"a deadline holds while another writes", deadlineOfWriters},
		{"a finished context does nothing", finishedContext},
		{"a store outlives a change that panics", changePanics},
	}
	for _, l := range laws {
		t.Run(l.name, func(t *testing.T) {
			// Far above what any law needs: a store that hangs fails the
			// law and not the whole run.
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			l.law(t, ctx, open(t))
		})
	}
}
