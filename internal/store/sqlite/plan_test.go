package sqlite

import (
	"math"
	"strings"
	"testing"

	"github.com/sallyport/sallyport"
)

// A store may hold a million credentials: what is asked often looks for few.
func TestQueriesUseTheirIndexes(t *testing.T) {
	s := openTest(t, withTables(t))
	list := func(f sallyport.CredentialFilter) string {
		query, args := listing(f, math.MaxInt64)
		return plan(t, s, query, args...)
	}
	const byUser, byName = "USING INDEX credentials_by_user (api=? AND tenant=? AND user_id=?", "USING INDEX credentials_by_name (api=? AND tenant=? AND name=?"
	for what, c := range map[string]struct{ plan, want string }{
		"all":             {list(sallyport.CredentialFilter{}), "SEARCH c USING INTEGER PRIMARY KEY"},
		"an API's":        {list(sallyport.CredentialFilter{API: "a"}), "SEARCH c USING INDEX credentials_by_api"},
		"a tenant's":      {list(sallyport.CredentialFilter{API: "a", Tenant: "t"}), "SEARCH c USING INDEX credentials_by_tenant"},
		"a user's":        {list(sallyport.CredentialFilter{API: "a", Tenant: "t", User: "u"}), byUser},
		"a user's tokens": {list(sallyport.CredentialFilter{API: "a", Tenant: "t", User: "u", Kind: "pat", State: sallyport.Active}), byUser},
		"of a name":       {list(sallyport.CredentialFilter{API: "a", Tenant: "t", Name: "n"}), byName},
		"others' names":   {plan(t, s, nameQuery, "a", "t", "n", "k"), byName},
		"tokens that end": {plan(t, s, endCredentials+tokensOf, "a", "t", "[]", "why"), byUser},
		"a client's":      {list(sallyport.CredentialFilter{API: "a", Tenant: "t", Client: "c"}), "USING INDEX credentials_by_client (api=? AND tenant=? AND client_id=?"},
		"grants that end": {plan(t, s, endCredentials+grantsOf, "a", "t", "[]", "why"), "USING INDEX credentials_by_client (api=? AND tenant=? AND client_id=?"},
		"holders":         {plan(t, s, `UPDATE credentials SET epoch = epoch + 1`+holdersOf, "a", "t", "[]"), "USING INDEX credentials_by_"},
		"by digest":       {plan(t, s, byDigestQuery, []byte{}), "SEARCH s USING PRIMARY KEY"},
		"unchecked":       {plan(t, s, uncheckedQuery), "USING INDEX credentials_unchecked (api=? AND prefix>?)"},
	} {
		if !strings.Contains(c.plan, c.want) {
			t.Errorf("%s: got\n%s\nwant %s", what, c.plan, c.want)
		}
		wantFast(t, what, c.plan)
	}
}

// wantFast fails t where a plan walks or sorts more than it returns.
func wantFast(t *testing.T, what, plan string) {
	t.Helper()
	slow := []string{"TEMP B-TREE", "AUTOMATIC"}
	for _, table := range []string{"c", "n", "g", "u", "w", "credentials", "users", "grant_secrets", "signing_keys", "revoked_tokens", "senders"} {
		slow = append(slow, "SCAN "+table+"\n", "SCAN "+table+" ")
	}
	for _, slow := range slow {
		if strings.Contains(plan, slow) {
			t.Errorf("%s: got\n%s\nwithout %s", what, plan, slow)
		}
	}
}

// No token is asked for in vain, and no sweep walks what it leaves: there may be
// a million refresh tokens that have been spent.
func TestQueriesAboutTokensUseTheirIndexes(t *testing.T) {
	s := openTest(t, withTables(t))
	senders := func(tenant string) string {
		query, args := senderListing("a", tenant, "", 0)
		return plan(t, s, query, args...)
	}
	for what, c := range map[string]struct{ plan, want string }{
		"a login":            {plan(t, s, loginQuery, "a", "jo"), "USING INDEX users_by_login (api=? AND login=?)"},
		"users who hold":     {plan(t, s, `UPDATE users SET epoch = epoch + 1`+usersOf, "a", "t", "[]"), "SEARCH users USING PRIMARY KEY (api=? AND tenant=? AND id=?)"},
		"a grant":            {plan(t, s, grantQuery, []byte{}), "SEARCH g USING PRIMARY KEY (digest=?)"},
		"a revoked token":    {plan(t, s, revokedQuery, "a", "t"), "SEARCH revoked_tokens USING PRIMARY KEY (api=? AND id=?)"},
		"a sender":           {plan(t, s, senderQuery, "a", "w", ""), "SEARCH w USING PRIMARY KEY (api=? AND id=?)"},
		"senders":            {senders(""), "SEARCH w USING PRIMARY KEY (api=? AND id>?)"},
		"a tenant's senders": {senders("t"), "USING INDEX senders_by_tenant (api=? AND tenant=? AND id>?)"},
		"tokens over":        {plan(t, s, deleteTokens, 1, 2), "USING COVERING INDEX revoked_tokens_by_end (until<?)"},
		"keys over":          {plan(t, s, deleteKeys, 1, 2), "USING COVERING INDEX signing_keys_by_end (ends_at<?)"},
		"codes over":         {plan(t, s, `SELECT grant_id`+unusedOver, 1, 2), "USING INDEX grant_secrets_unused (expires_at<?)"},
		"secrets over":       {plan(t, s, deleteSecrets, 1, 2), "USING COVERING INDEX grant_secrets_to_sweep (sweep_at<?)"},
		"grants' secrets":    {plan(t, s, deleteTheirs, 1, 2), "USING COVERING INDEX grant_secrets_by_grant (grant_id=?)"},
		"grants over":        {plan(t, s, `SELECT c.id`+grantsOver, 1, 2), "USING INDEX grants_by_end (expires_at<?)"},
		"grants that go":     {plan(t, s, `DELETE`+grantsOfList, "[]"), "SEARCH credentials USING"},
	} {
		if !strings.Contains(c.plan, c.want) {
			t.Errorf("%s: got\n%s\nwant %s", what, c.plan, c.want)
		}
		wantFast(t, what, c.plan)
	}
}

// plan says in lines how SQLite runs a query.
func plan(t *testing.T, s *Store, query string, args ...any) string {
	t.Helper()
	rows, err := s.reader.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+query, args...)
	type step struct {
		id, parent, unused int
		detail             string
	}
	steps, err := collect(rows, err, func(s *step) []any { return []any{&s.id, &s.parent, &s.unused, &s.detail} })
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range steps {
		b.WriteString(s.detail + "\n")
	}
	return b.String()
}
