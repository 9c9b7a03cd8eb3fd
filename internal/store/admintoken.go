package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/sallyport/sallyport"
)

// NewAdminToken returns a token made at now, or says why it cannot be kept.
func NewAdminToken(id, name, role, tenant string, digest sallyport.Digest, now time.Time) (t sallyport.AdminToken, err error) {
	if id == "" {
		return t, errors.New("an admin token needs an id")
	}
	if err := errors.Join(CheckText(id, name, role, tenant), CheckDigest(digest)); err != nil {
		return t, fmt.Errorf("admin token %q: %w", id, err)
	}
	return sallyport.AdminToken{ID: id, Name: name, Role: role, Tenant: tenant, CreatedAt: TimeOf(NewTime(now))}, nil
}
