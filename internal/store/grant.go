package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/sallyport/sallyport"
)

// GrantSecretRow is a code or refresh token of a grant as it is kept. It stays
// when it is spent, for as long as the grant: who shows it again is not the only
// one who has it (RFC 9700 §4.14.2).
type GrantSecretRow struct {
	Digest              sallyport.Digest
	Grant               string // its id
	Pepper              int
	Kind                string
	ExpiresAt           Time
	Redirect, Challenge string
	Spent               bool
}

// NewGrantSecretRow returns the row of a secret of that grant, or says why it
// cannot be kept.
func NewGrantSecretRow(grant string, s sallyport.GrantSecret) (GrantSecretRow, error) {
	r := GrantSecretRow{
		Digest: s.Digest, Grant: grant, Pepper: s.Pepper, Kind: s.Kind,
		ExpiresAt: NewTime(s.ExpiresAt), Redirect: s.Redirect, Challenge: s.Challenge,
	}
	err := errors.Join(CheckDigest(s.Digest), CheckText(s.Redirect, s.Challenge))
	switch {
	case err != nil:
	case s.Kind != sallyport.GrantCode && s.Kind != sallyport.GrantRefresh:
		err = fmt.Errorf("its kind %q is not one of code, refresh", s.Kind)
	case s.ExpiresAt.IsZero():
		err = errors.New("it needs an end")
	}
	if err != nil {
		return r, fmt.Errorf("%s: %w", r, err)
	}
	return r, nil
}

// String names the secret by its grant, for errors.
func (r GrantSecretRow) String() string {
	if r.Grant == "" {
		return "secret of a grant"
	}
	return fmt.Sprintf("secret of grant %q", r.Grant)
}

// Value returns what r stands for.
func (r GrantSecretRow) Value() sallyport.GrantSecret {
	return sallyport.GrantSecret{
		Digest: r.Digest, Pepper: r.Pepper, Kind: r.Kind,
		ExpiresAt: TimeOf(r.ExpiresAt), Redirect: r.Redirect, Challenge: r.Challenge,
	}
}

// Over reports whether t has come; no time never does.
func Over(t Time, now time.Time) bool {
	return t.Valid && !now.Before(TimeOf(t))
}

// Grant is a grant that is to be kept, with its code.
type Grant struct {
	Creation // without a secret of its own
	Code     GrantSecretRow
}

// NewGrant returns c and its code as they are to be kept, or says why they
// cannot be.
func NewGrant(c *sallyport.Credential, code sallyport.GrantSecret) (g Grant, err error) {
	if g.CredentialRow, err = NewCredentialRow(c); err != nil {
		return g, err
	}
	if g.Kind != sallyport.KindGrant {
		return g, fmt.Errorf("%s is no grant", g)
	}
	if g.Code, err = NewGrantSecretRow(g.ID, code); err != nil {
		return g, err
	}
	if g.Code.Kind != sallyport.GrantCode {
		return g, fmt.Errorf("%s: a grant is made with a code", g)
	}
	return g, nil
}

// FoundGrant is a grant with the secret by which it was found.
type FoundGrant struct {
	Found
	Secret GrantSecretRow
	Reused bool // the secret was spent before, and the grant ended by that
}

// Use returns f with its secret spent, and what use gives in its place. Where the
// secret was spent before, use is not asked and the grant is revoked. An error of
// use is returned as it is; others wrap sallyport.ErrNotFound where the secret or
// its grant has expired, and sallyport.ErrFinal where the grant is revoked.
func (f FoundGrant) Use(now time.Time, use func(*sallyport.Credential, sallyport.GrantSecret) ([]sallyport.GrantSecret, error)) (FoundGrant, []GrantSecretRow, error) {
	revoked := sallyport.Revoked.String()
	if f.Secret.Spent {
		f.Reused = true
		if f.Credential.State != revoked {
			f.Credential = f.Credential.Ended(CauseReused)
		}
		return f, nil, nil
	}
	if Over(f.Secret.ExpiresAt, now) || Over(f.Credential.ExpiresAt, now) {
		return f, nil, fmt.Errorf("%s has expired: %w", f.Secret, sallyport.ErrNotFound)
	}
	c, err := f.Value()
	if err != nil {
		return f, nil, err
	}
	made, err := use(c, f.Secret.Value())
	if err != nil {
		return f, nil, err
	}
	if f.Credential.State == revoked {
		return f, nil, fmt.Errorf("%s %w", f.Credential, sallyport.ErrFinal)
	}
	next := make([]GrantSecretRow, len(made))
	for i, s := range made {
		if next[i], err = NewGrantSecretRow(f.Credential.ID, s); err != nil {
			return f, nil, err
		}
		if s.Kind != sallyport.GrantRefresh {
			return f, nil, fmt.Errorf("%s: only a refresh token follows another secret", f.Secret)
		}
	}
	f.Secret.Spent = true
	return f, next, nil
}

// ReuseError is the error about a secret that had been spent.
func (r GrantSecretRow) ReuseError() error {
	return fmt.Errorf("%s: %w", r, sallyport.ErrReused)
}

// Sweep sizes: how many rows one sweep takes away at most, and for how long a
// grant that has expired is still told.
const (
	SweepRows = 1000
	GrantKept = 24 * time.Hour
)
