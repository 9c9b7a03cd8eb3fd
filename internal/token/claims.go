package token

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"time"
)

// Claims is what an access token says.
type Claims struct {
	Issuer   string // iss: the URL of who issued it
	Audience string // aud: the API that it is for
	Subject  string // sub: the user, or where there is none the parent
	ID       string // jti
	Client   string // client_id; "": it was made from a key
	Tenant   string
	Parent   string // the id of the credential that it was made from
	Epoch    uint64 // of the parent, at the making
	Roles    string // a mark of what the roles permitted; "": none were held
	Scopes   []string
	Scoped   bool // it may do no more than Scopes
	IssuedAt time.Time
	Expires  time.Time
}

// wire is Claims as JSON. Times are seconds since 1970 (RFC 7519 §2).
type wire struct {
	Issuer   string  `json:"iss"`
	Audience string  `json:"aud"`
	Subject  string  `json:"sub"`
	ID       string  `json:"jti"`
	Client   string  `json:"client_id,omitempty"`
	Scope    *string `json:"scope,omitempty"`
	Tenant   string  `json:"tenant"`
	Parent   string  `json:"parent"`
	Epoch    uint64  `json:"epoch"`
	Roles    string  `json:"roles_mark,omitempty"`
	IssuedAt int64   `json:"iat"`
	Expires  int64   `json:"exp"`
}

func (c *Claims) wire() *wire {
	w := &wire{
		Issuer: c.Issuer, Audience: c.Audience, Subject: c.Subject, ID: c.ID, Client: c.Client, Tenant: c.Tenant,
		Parent: c.Parent, Epoch: c.Epoch, Roles: c.Roles, IssuedAt: c.IssuedAt.Unix(), Expires: c.Expires.Unix(),
	}
	if c.Scoped {
		scope := strings.Join(c.Scopes, " ")
		w.Scope = &scope
	}
	return w
}

// parseClaims reads what Sign wrote. It is as strict as it can be: nobody else
// has reason to sign with our keys.
func parseClaims(payload []byte) (c Claims, err error) {
	var w wire
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	if d.Decode(&w) != nil {
		return c, ErrBad
	}
	if _, err := d.Token(); err != io.EOF {
		return c, ErrBad
	}
	c = Claims{
		Issuer: w.Issuer, Audience: w.Audience, Subject: w.Subject, ID: w.ID, Client: w.Client, Tenant: w.Tenant,
		Parent: w.Parent, Epoch: w.Epoch, Roles: w.Roles, IssuedAt: time.Unix(w.IssuedAt, 0), Expires: time.Unix(w.Expires, 0),
	}
	if w.Scope != nil {
		c.Scopes, c.Scoped = strings.Fields(*w.Scope), true
	}
	if c.Subject == "" || c.ID == "" || c.Tenant == "" || c.Parent == "" || w.Expires <= 0 || w.IssuedAt <= 0 {
		return Claims{}, ErrBad
	}
	return c, nil
}
