package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/sallyport/sallyport"
)

// SigningKeyRow is a signing key as it is kept. Two rows of equal keys are ==.
type SigningKeyRow struct {
	API, ID, Algorithm           string
	Sealed                       string // bytes
	Pepper                       int
	CreatedAt, SignsFrom, EndsAt Time
}

// NewSigningKeyRow returns k's row, or says why it cannot be kept.
func NewSigningKeyRow(k *sallyport.SigningKey) (SigningKeyRow, error) {
	r := SigningKeyRow{
		API: k.API, ID: k.ID, Algorithm: k.Algorithm, Sealed: string(k.Sealed), Pepper: k.Pepper,
		CreatedAt: NewTime(k.CreatedAt), SignsFrom: NewTime(k.SignsFrom), EndsAt: NewTime(k.EndsAt),
	}
	if r.API == "" || r.ID == "" || r.Algorithm == "" || r.Sealed == "" {
		return r, errors.New("a signing key needs an api, an id, an algorithm and what is sealed")
	}
	if err := CheckText(r.API, r.ID, r.Algorithm); err != nil {
		return r, fmt.Errorf("%s: %w", r, err)
	}
	return r, nil
}

// String names the key, for errors.
func (r SigningKeyRow) String() string { return fmt.Sprintf("signing key %q of %q", r.ID, r.API) }

// Value returns a new key from r.
func (r SigningKeyRow) Value() (*sallyport.SigningKey, error) {
	return &sallyport.SigningKey{
		ID: r.ID, API: r.API, Algorithm: r.Algorithm, Sealed: []byte(r.Sealed), Pepper: r.Pepper,
		CreatedAt: TimeOf(r.CreatedAt), SignsFrom: TimeOf(r.SignsFrom), EndsAt: TimeOf(r.EndsAt),
	}, nil
}

// Change returns the row after change, which gets a key of its own. An error of
// change is returned as it is. What names the key and its algorithm cannot change.
func (r SigningKeyRow) Change(change func(*sallyport.SigningKey) error) (SigningKeyRow, error) {
	k, err := r.Value()
	if err != nil {
		return r, err
	}
	if err := change(k); err != nil {
		return r, err
	}
	after, err := NewSigningKeyRow(k)
	if err != nil {
		return r, err
	}
	if after.API != r.API || after.ID != r.ID || after.Algorithm != r.Algorithm {
		return r, fmt.Errorf("%s cannot change its api, id or algorithm", r)
	}
	return after, nil
}

// Beside refuses r, with sallyport.ErrConflict, unless the keys of its API are
// those that whoever made it had read: of two who make one at the same time, the
// second reads the first's instead.
func (r SigningKeyRow) Beside(read []*sallyport.SigningKey, kept []SigningKeyRow) error {
	ids := make(map[string]bool, len(read))
	for _, k := range read {
		ids[k.ID] = true
	}
	same := len(ids) == len(kept)
	for _, k := range kept {
		if k.ID == r.ID {
			return sallyport.ErrConflict
		}
		same = same && ids[k.ID]
	}
	if !same {
		return fmt.Errorf("beside others than were read: %w", sallyport.ErrConflict)
	}
	return nil
}

// RevokedToken is the id of a token that is refused until it would have expired.
type RevokedToken struct {
	API, ID string
	Until   Time
}

// NewRevokedToken returns what is kept of a revoked token, or says why it cannot
// be. Its end is rounded up, or the token would be good again before it expires.
func NewRevokedToken(api, id string, until time.Time) (RevokedToken, error) {
	r := RevokedToken{API: api, ID: id, Until: NewTime(until.Add(time.Millisecond - 1))}
	if api == "" || id == "" || until.IsZero() {
		return r, errors.New("a revoked token needs an api, an id and an end")
	}
	if err := CheckText(api, id); err != nil {
		return r, fmt.Errorf("%s: %w", r, err)
	}
	return r, nil
}

// String names the token, for errors.
func (r RevokedToken) String() string { return fmt.Sprintf("token %q of %q", r.ID, r.API) }
