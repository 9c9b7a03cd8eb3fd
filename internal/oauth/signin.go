package oauth

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/visit"
)

// Provider signs users in, in place of the page that asks for a password.
type Provider interface {
	// URL returns where a user is sent, who comes back to redirect. Fresh asks
	// whoever is signed in there already to do it again.
	URL(ctx context.Context, redirect, state, nonce, verifier string, fresh bool) (string, error)
	// Login returns the login of a user who came back with code.
	// Its error wraps sallyport.ErrNotFound where nobody has signed in.
	Login(ctx context.Context, redirect, code, nonce, verifier string) (string, error)
	Issuer() string
}

// attempt is what a browser is sent to the provider with, in a cookie that only
// the gate can make: whoever comes back without it did not begin here.
type attempt struct {
	API      string `json:"a"`
	Tenant   string `json:"t"` // of the client that asks
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	Request  string `json:"r"` // the authorization request, to which the user comes back
	Until    int64  `json:"u"` // Unix seconds
}

const (
	attemptLife    = 10 * time.Minute
	attemptPurpose = "attempt"
	cookieAttempt  = "sallyport_attempt"
)

// elsewhere reports whether users of v's API sign in at a provider.
func elsewhere(v *visit.Visit) bool { return v.API.Tokens.Login != nil }

// callback returns the URL to which the provider sends users back; "" where the API
// has no endpoint for it.
func callback(v *visit.Visit) string {
	for _, op := range v.API.Operations {
		if op.Serve == sallyport.ServeCallback {
			return origin(v) + op.Path
		}
	}
	return ""
}

// signIn has the user sign in: on our page, or at the provider.
func (s *Server) signIn(ctx context.Context, v *visit.Visit, p *page, fresh bool) {
	if !elsewhere(v) {
		p.login("", "")
		return
	}
	provider, redirect := s.Provider(v.API.Name), callback(v)
	if provider == nil || redirect == "" {
		s.unavailable(v, errors.New("users sign in at a provider, and there is none"))
		return
	}
	try := attempt{
		API: v.API.Name, Tenant: p.request.client.Tenant.ID, State: newSecret(), Nonce: newSecret(), Verifier: newSecret(),
		Request: v.R.URL.RequestURI(), Until: v.Now.Add(attemptLife).Unix(),
	}
	to, err := provider.URL(ctx, redirect, try.State, try.Nonce, try.Verifier, fresh)
	if err != nil {
		s.unavailable(v, err)
		return
	}
	if !p.keep(cookieAttempt, attemptPurpose, try, attemptLife) {
		p.broken(http.StatusBadRequest, "The request of the application is too long.")
		return
	}
	v.W.Header().Set("Location", to)
	v.W.Header().Set("Referrer-Policy", "no-referrer")
	v.W.WriteHeader(http.StatusSeeOther)
}

// serveCallback serves the endpoint to which the provider sends users back: it
// signs them in here, and goes on with the request that they came with.
func (s *Server) serveCallback(ctx context.Context, v *visit.Visit) {
	p := s.newPage(v)
	q, repeated := parseForm(v.R.URL.RawQuery)
	var try attempt
	known := repeated == nil && s.kept(v, cookieAttempt, attemptPurpose, &try) && try.API == v.API.Name && v.Now.Unix() < try.Until
	provider := s.Provider(v.API.Name)
	if !known || provider == nil || subtle.ConstantTimeCompare([]byte(q["state"]), []byte(try.State)) != 1 ||
		q["iss"] != "" && q["iss"] != provider.Issuer() {
		p.broken(http.StatusBadRequest, "The page has expired. Go back to the application and begin again.")
		return
	}
	setCookie(v, cookieAttempt, "", -1) // it is good once
	user, tenant, err := s.cameBack(ctx, v, provider, q, &try)
	switch {
	case errors.Is(err, errStranger):
		s.Log.Info("a user was not signed in", "api", v.API.Name, "request_id", v.Said.RequestID, "why", err)
		p.broken(http.StatusForbidden, "You have not been signed in, or your account is not one that may use this application.")
	case err != nil:
		s.unavailable(v, err)
	default:
		p.remember(user, tenant)
		v.W.Header().Set("Location", try.Request)
		v.W.WriteHeader(http.StatusSeeOther)
	}
}

var errStranger = errors.New("nobody of ours has signed in")

// cameBack returns the user who came back from provider with q. Its error wraps
// errStranger where that is nobody who may use the client.
func (s *Server) cameBack(ctx context.Context, v *visit.Visit, provider Provider, q form, try *attempt) (*sallyport.User, *sallyport.Tenant, error) {
	if q["code"] == "" {
		return nil, nil, errors.Join(errStranger, errors.New("the provider says "+quoteError(q["error"])))
	}
	login, err := provider.Login(ctx, callback(v), q["code"], try.Nonce, try.Verifier)
	if err != nil {
		if errors.Is(err, sallyport.ErrNotFound) {
			err = errors.Join(errStranger, err)
		}
		return nil, nil, err
	}
	user, err := s.Store.UserByLogin(ctx, v.API.Name, login)
	switch {
	case errors.Is(err, sallyport.ErrNotFound):
		return nil, nil, errors.Join(errStranger, errors.New("no user has this login"))
	case err != nil:
		return nil, nil, err
	case user.Tenant != try.Tenant || user.State != sallyport.Active:
		return nil, nil, errors.Join(errStranger, errors.New("the user "+user.ID+" is of another tenant than the client, or disabled"))
	}
	tenant, err := s.Store.Tenant(ctx, v.API.Name, user.Tenant)
	return user, tenant, err
}

// quoteError returns an error code of RFC 6749 as it came, and anything else as
// nothing that a log would show.
func quoteError(code string) string {
	if code == "" || len(code) > 64 || strings.ContainsFunc(code, func(r rune) bool { return (r < 'a' || r > 'z') && r != '_' }) {
		return "nothing that can be read"
	}
	return code
}
