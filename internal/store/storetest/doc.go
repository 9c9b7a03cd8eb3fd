// Package storetest is the contract of a store as tests: every store runs it,
// so that a test which uses the one in memory has tested against all.
//
// It is not for what only one kind of store can promise, such as surviving
// kill -9; that is tested beside the store.
//
// It costs about a second where a write costs a millisecond, and needs a fresh,
// empty store for each law.
package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// Store is all that a store does. What each method promises is said at
// sqlite.Store's.
type Store interface {
	CreateTenant(ctx context.Context, t sallyport.Tenant) error
	CreateTenants(ctx context.Context, list []sallyport.Tenant) error
	Tenant(ctx context.Context, api, id string) (*sallyport.Tenant, error)
	Tenants(ctx context.Context, api, after string, limit int) ([]*sallyport.Tenant, error)
	UpdateTenant(ctx context.Context, api, id string, change func(*sallyport.Tenant) error) (t *sallyport.Tenant, ended int, err error)

	CreateUser(ctx context.Context, u sallyport.User) error
	User(ctx context.Context, api, tenant, id string) (*sallyport.User, error)
	UserByLogin(ctx context.Context, api, login string) (*sallyport.User, error)
	Users(ctx context.Context, f sallyport.UserFilter) ([]*sallyport.User, error)
	UpdateUser(ctx context.Context, api, tenant, id string, change func(*sallyport.User) error) (u *sallyport.User, ended int, err error)

	CreateCredential(ctx context.Context, n sallyport.NewCredential) error
	ImportCredentials(ctx context.Context, list []sallyport.NewCredential) ([]sallyport.Imported, error)
	Credential(ctx context.Context, api, tenant, id string) (*sallyport.Credential, error)
	Credentials(ctx context.Context, f sallyport.CredentialFilter) ([]*sallyport.Credential, error)
	UpdateCredential(ctx context.Context, api, tenant, id string, uniqueName bool, change func(*sallyport.Credential) error) (*sallyport.Credential, error)
	UncheckedPrefixes(ctx context.Context) ([][2]string, error)

	ByDigest(ctx context.Context, d sallyport.Digest) (*sallyport.Credential, error)
	Digests(ctx context.Context, yield func(d sallyport.Digest, pepper int) error) error
	RollCredential(ctx context.Context, api, tenant, id string, roll func(*sallyport.Credential) (sallyport.Roll, error)) (*sallyport.Credential, error)
	RenewSecret(ctx context.Context, before, after sallyport.Digest, pepper int) error
	Peppers(ctx context.Context) (map[int]int, error)
	OtherPeppers(ctx context.Context) (map[int]int, error)

	CreateGrant(ctx context.Context, g sallyport.Credential, code sallyport.GrantSecret) error
	GrantByDigest(ctx context.Context, d sallyport.Digest) (c *sallyport.Credential, s sallyport.GrantSecret, spent bool, err error)
	UseGrantSecret(ctx context.Context, d sallyport.Digest, now time.Time,
		use func(*sallyport.Credential, sallyport.GrantSecret) ([]sallyport.GrantSecret, error)) (*sallyport.Credential, error)

	SigningKeys(ctx context.Context, api string) ([]*sallyport.SigningKey, error)
	CreateSigningKey(ctx context.Context, k sallyport.SigningKey, read []*sallyport.SigningKey) error
	UpdateSigningKey(ctx context.Context, api, id string, change func(*sallyport.SigningKey) error) (*sallyport.SigningKey, error)
	DeleteSigningKey(ctx context.Context, api, id string) error
	RevokeToken(ctx context.Context, api, id string, until time.Time) error
	TokenRevoked(ctx context.Context, api, id string) (bool, error)
	SweepOAuth(ctx context.Context, now time.Time) (int, error)

	CreateSender(ctx context.Context, w sallyport.Sender) error
	Sender(ctx context.Context, api, id string) (*sallyport.Sender, error)
	Senders(ctx context.Context, api, tenant, after string, limit int) ([]*sallyport.Sender, error)
	UpdateSender(ctx context.Context, api, tenant, id string, change func(*sallyport.Sender) error) (*sallyport.Sender, error)

	KeepRoles(ctx context.Context, api string, roles map[string][]string) (tenants []string, ended int, err error)

	CreateAdminToken(ctx context.Context, t sallyport.AdminToken, d sallyport.Digest) error
	AdminTokens(ctx context.Context) ([]*sallyport.AdminToken, error)
	RevokeAdminToken(ctx context.Context, id string) error
	AdminTokenByDigest(ctx context.Context, d sallyport.Digest) (*sallyport.AdminToken, error)
	CountAdminTokens(ctx context.Context) (int, error)

	Ping(ctx context.Context) error
}

// law is one thing that a store promises, and what holds it to that.
type law struct {
	name string
	hold func(t *testing.T, ctx context.Context, s Store)
}

// Run holds the stores that open returns to the contract. open gives each law
// an empty store of its own and closes it when that law's test ends.
func Run(t *testing.T, open func(t *testing.T) Store) {
	for _, l := range slices.Concat(laws(), oauthLaws()) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel() // most of them wait for the disk
			hold(t, open, l.hold)
		})
	}
	// This one looks at the clock: the others come after it.
	t.Run("a deadline holds while another writes", func(t *testing.T) { hold(t, open, deadlineOfWriters) })
}

func laws() []law {
	return []law{
		{"an empty store has nothing", emptyStore},
		{"a tenant comes back as it was kept", tenantRoundTrip},
		{"a tenant exists once in an API", tenantConflict},
		{"what cannot be kept is refused", refused},
		{"tenants are listed in pages by id", tenantPages},
		{"a tenant is changed and its key is not", tenantUpdate},
		{"a revoked tenant is final", tenantFinal},

		{"a user comes back as it was kept", userRoundTrip},
		{"a user exists once in a tenant", userConflict},
		{"a login is one user's of an API", userLogins},
		{"a user needs its tenant", userOrphan},
		{"an active token is for an active user", userTakes},
		{"users are listed in pages by id", userPages},
		{"a listing is of one tenant's users", userFilters},
		{"a user is changed and its key is not", userUpdate},
		{"a revoked user is final", userFinal},
		{"a user's tokens end with its state and its roles", userEndsTokens},
		{"nobody else's tokens end with a user", userEndsNoOthers},
		{"a user's tokens end with its tenant's roles", tenantEndsTokens},

		{"a credential comes back as it was kept", credentialRoundTrip},
		{"a credential and a digest exist once", credentialConflict},
		{"a credential needs its tenant", credentialOrphan},
		{"another's credential is as unknown as any", credentialWalls},
		{"credentials are listed in pages, newest first", credentialPages},
		{"a listing is narrowed by every field", credentialFilters},
		{"a credential is changed and its key is not", credentialUpdate},
		{"a revoked credential is final", credentialFinal},
		{"a credential brings its user of now", credentialUser},
		{"a credential needs its user and keeps it", credentialUserOrphan},
		{"a name that is to be unique is", uniqueNames},
		{"tenants that are there are left as they are", tenantsAtOnce},
		{"an import is kept whole, and once", imports},
		{"an import that fails keeps nothing", importsRefused},
		{"an import of many is kept as one of few", importsOfMany},
		{"prefixes with unchecked secrets are told", uncheckedPrefixes},
		{"a refused change changes nothing", changeRefused},
		{"a digest finds the credential and the tenant of now", byDigest},
		{"every digest is told", digests},
		{"overrides are changed one by one", overridesChange},
		{"a roll ends the old secrets and adds one", rolls},
		{"a roll that is refused changes nothing", rollsRefused},
		{"a secret is renewed and its end is not", renewals},
		{"what is returned is the caller's own", noSharing},

		{"an admin token is found by its digest", adminTokens},
		{"admin tokens are listed and revoked", adminTokensRevoked},

		{"parallel changes are all kept", parallelUpdates},
		{"of parallel uses of a grant's secret one wins", parallelUses},
		{"of parallel signing keys one is made", parallelSigningKeys},
		{"of parallel creations one wins", parallelCreates},
		{"of parallel names one wins", parallelNames},
		{"a finished context does nothing", finishedContext},
		{"a store outlives a change that panics", changePanics},
	}
}

// oauthLaws are about clients, grants and tokens, and about webhooks.
func oauthLaws() []law {
	return []law{
		{"a client and a grant come back as they were kept", clientRoundTrip},
		{"a client has a secret unless it is public", clientSecrets},
		{"what makes a client or a grant is whole", clientsRefused},
		{"what a client may is changed and what it is is not", clientUpdate},
		{"a grant needs its client and its user", grantOrphan},
		{"grants are listed by their client", grantFilters},
		{"a secret of a grant is spent once", grantSecrets},
		{"a secret that is refused is not spent", grantSecretsRefused},
		{"a secret that comes again ends its grant", grantReuse},
		{"the secrets of grants are no keys", grantsApart},
		{"grants end with their user", grantsEndWithUser},
		{"grants end with their client", grantsEndWithClient},

		{"epochs are the store's alone", epochsKept},
		{"a credential's epoch grows with what ends its tokens", credentialEpochs},
		{"a user's epoch grows with what ends its tokens", userEpochs},
		{"a tenant's epoch grows when it is suspended", tenantEpochs},
		{"epochs grow with a tenant's roles", roleEpochs},
		{"what rests on an API's roles ends with them", apiRoles},
		{"a cause does not outlive its state", causes},

		{"signing keys are kept in order", signingKeys},
		{"a signing key is made beside those that were read", signingKeysBeside},
		{"a signing key is changed and its key is not", signingKeyUpdate},
		{"a revoked token is told", revokedTokens},
		{"what nobody can use is swept away", sweeps},
		{"a sweep is bounded", sweepBounded},

		{"a sender comes back as it was kept", senderRoundTrip},
		{"senders are listed in pages by id", senderPages},
		{"a sender is changed and its key is not", senderUpdate},

		{"whatever a pepper is needed for is counted", peppersNeeded},
	}
}

// hold holds an empty store to law.
func hold(t *testing.T, open func(t *testing.T) Store, law func(t *testing.T, ctx context.Context, s Store)) {
	// Far above what any law needs: a store that hangs fails the law and not
	// the whole run.
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	law(t, ctx, open(t))
}
