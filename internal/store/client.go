package store

import (
	"encoding/json"
	"errors"

	"github.com/sallyport/sallyport"
)

// client is what is kept of what an OAuth client may do.
type client struct {
	Public    bool     `json:"public,omitempty"`
	Grants    []string `json:"grants,omitempty"`
	Redirects []string `json:"redirects,omitempty"`
}

// encodeClient returns the id of the client that the grant c is of, and what the
// client c may do; "" is for what is neither.
func encodeClient(c *sallyport.Credential) (id, text string, err error) {
	if err := checkClient(c); err != nil || c.Client == nil {
		return "", "", err
	}
	its := *c.Client
	if err := errors.Join(CheckText(its.ID), CheckText(its.Grants...), CheckText(its.Redirects...)); err != nil {
		return "", "", err
	}
	if c.Kind == sallyport.KindGrant {
		return its.ID, "", nil
	}
	text, err = encode(client{its.Public, its.Grants, its.Redirects})
	return "", text, err
}

// decodeClient is the inverse of encodeClient.
func decodeClient(id, text string) (*sallyport.Client, error) {
	if text == "" {
		if id == "" {
			return nil, nil
		}
		return &sallyport.Client{ID: id}, nil
	}
	var its client
	if err := json.Unmarshal([]byte(text), &its); err != nil {
		return nil, err
	}
	return &sallyport.Client{ID: id, Public: its.Public, Grants: some(its.Grants), Redirects: some(its.Redirects)}, nil
}

// some is list, but nil where there is nothing in it.
func some(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

// checkClient refuses a client or grant that lacks what makes it one, and
// whatever else has it.
func checkClient(c *sallyport.Credential) error {
	its := c.Client
	switch {
	case c.Kind == sallyport.KindToken || c.Token != nil:
		return errors.New("it is a token, and those are not kept")
	case c.Kind == sallyport.KindClient && (its == nil || its.ID != ""):
		return errors.New("a client needs what it may, and is of no other client")
	case c.Kind == sallyport.KindGrant && (its == nil || its.ID == "" || c.User == nil):
		return errors.New("a grant needs a user and the id of a client")
	case c.Kind == sallyport.KindGrant && (its.Public || len(its.Grants)+len(its.Redirects) > 0):
		return errors.New("what the client of a grant may is kept with the client")
	case c.Kind != sallyport.KindClient && c.Kind != sallyport.KindGrant && its != nil:
		return errors.New("it has a client, and is neither client nor grant")
	}
	return nil
}

// secretless reports whether a credential has no secret among those of keys: a
// public client has none at all, and those of a grant are kept apart.
func secretless(kind string, its *sallyport.Client) bool {
	return kind == sallyport.KindGrant || kind == sallyport.KindClient && its != nil && its.Public
}
