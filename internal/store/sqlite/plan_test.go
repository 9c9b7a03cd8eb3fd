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
		"tokens that end": {plan(t, s, `UPDATE credentials SET state = 'revoked'`+tokensOf, "a", "t", "[]", "pat"), byUser},
		"by digest":       {plan(t, s, byDigestQuery, []byte{}), "SEARCH s USING PRIMARY KEY"},
		"unchecked":       {plan(t, s, uncheckedQuery), "USING INDEX credentials_unchecked (api=? AND prefix>?)"},
	} {
		if !strings.Contains(c.plan, c.want) {
			t.Errorf("%s: got\n%s\nwant %s", what, c.plan, c.want)
		}
		for _, slow := range []string{"SCAN c\n", "SCAN n\n", "SCAN credentials", "TEMP B-TREE", "AUTOMATIC"} {
			if strings.Contains(c.plan, slow) {
				t.Errorf("%s: got\n%s\nwithout %s", what, c.plan, slow)
			}
		}
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
