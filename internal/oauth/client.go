package oauth

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/visit"
)

// errClient is the one answer to whoever does not prove to be a client.
var errClient = &problem{http.StatusUnauthorized, "invalid_client", "client authentication failed"}

// claimed is a client as a request says it is.
type claimed struct{ id, secret string }

// claimedBy reads how r authenticates its client (RFC 6749 §2.3.1): Basic, or
// parameters of the body, and never both.
func claimedBy(r *http.Request, f form) (claimed, *problem) {
	given := claimed{f["client_id"], f["client_secret"]}
	lines := r.Header.Values("Authorization")
	switch {
	case len(lines) == 0:
		return given, nil
	case len(lines) > 1:
		return given, invalidRequest("there is more than one Authorization header")
	case given.secret != "":
		return given, invalidRequest("the client authenticates in more than one way")
	}
	basic, ok := parseBasic(lines[0])
	if !ok {
		return given, errClient
	}
	if given.id != "" && given.id != basic.id {
		return given, invalidRequest("client_id is not that of the Authorization header")
	}
	return basic, nil
}

// parseBasic reads the credentials of RFC 7617, whose two parts RFC 6749 wants
// encoded like a form's.
func parseBasic(header string) (c claimed, ok bool) {
	scheme, rest, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return c, false
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimLeft(rest, " "))
	if err != nil {
		return c, false
	}
	id, secret, found := strings.Cut(string(text), ":")
	if c.id, err = url.QueryUnescape(id); err != nil {
		return c, false
	}
	if c.secret, err = url.QueryUnescape(secret); err != nil {
		return c, false
	}
	return c, found && c.id != "" && c.secret != ""
}

// Credentials finds what a secret is the secret of, as Check does.
type Credentials interface {
	// Lookup returns a credential; its error wraps sallyport.ErrNotFound.
	Lookup(ctx context.Context, secret string) (*sallyport.Credential, error)
}

// proved returns the credential of secret if it is of kind, belongs to the API of
// v and may be used now and from here; nil where it may not. An error means that
// it could not be asked.
func (s *Server) proved(ctx context.Context, v *visit.Visit, kind, secret string) (*sallyport.Credential, error) {
	if secret == "" {
		return nil, nil
	}
	c, err := s.Credentials.Lookup(ctx, secret)
	switch {
	case errors.Is(err, sallyport.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case c.Kind != kind, c.API != v.API.Name, !usable(c, v):
		return nil, nil
	}
	return c, nil
}

// usable reports whether c may be used at the time and from the address of v.
func usable(c *sallyport.Credential, v *visit.Visit) bool {
	if c.State != sallyport.Active || c.Expired(v.Now) || c.Tenant.State != sallyport.Active || c.User != nil && c.User.State != sallyport.Active {
		return false
	}
	if len(c.AllowedIPs) == 0 {
		return true
	}
	ip, err := netip.ParseAddr(v.Said.Address)
	return err == nil && c.Networks.Contains(ip)
}
