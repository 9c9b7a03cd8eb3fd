package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/visit"
)

// asked is an authorization request (RFC 6749 §4.1.1), read and found good.
type asked struct {
	client    *sallyport.Credential
	redirect  string // where the user is sent back to
	told      string // the redirect_uri of the request; "" where it had none
	state     string
	scopes    []string
	challenge string
}

// codeLife is how long a code is good (RFC 6749 §4.1.2 allows ten minutes).
const codeLife = time.Minute

// serveAuthorize serves the authorization endpoint (RFC 6749 §3.1): it asks the
// user to sign in and to consent, and sends the user back with a code. The
// request stays in the URL through all of it; what the pages send is in the body.
func (s *Server) serveAuthorize(ctx context.Context, v *visit.Visit) {
	p := s.newPage(v)
	q, repeated := parseForm(v.R.URL.RawQuery)
	if repeated != nil {
		p.broken(http.StatusBadRequest, "The request of the application cannot be read.")
		return
	}
	request, back, bad := s.authorization(ctx, v, q)
	switch {
	case errors.Is(bad, errPage):
		p.broken(http.StatusBadRequest, "The application is unknown here, or the address that it wants you sent back to is not one of its own.")
		return
	case bad != nil:
		var told *problem
		if !errors.As(bad, &told) {
			s.unavailable(v, bad)
			return
		}
		s.sendBack(v, back, url.Values{"error": {told.code}, "error_description": {told.detail}})
		return
	}
	p.request = request
	if v.R.Method == http.MethodPost {
		s.pressed(ctx, v, p)
		return
	}
	user, err := s.signedIn(ctx, v)
	switch {
	case err != nil:
		s.unavailable(v, err)
	case user == nil || user.Tenant != request.client.Tenant.ID:
		s.signIn(ctx, v, p, false)
	default:
		p.consent(user, s.grantable(v, request, user))
	}
}

// errPage says that nobody may be sent back: the client or the address is not
// known to be good (RFC 6749 §4.1.2.1).
var errPage = errors.New("no client to send the user back to")

// back is where a user is sent back to, and with what.
type back struct{ redirect, state string }

var challengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// authorization reads the request in q. Its error is errPage, a problem that the
// client is told, or says that something could not be asked.
func (s *Server) authorization(ctx context.Context, v *visit.Visit, q form) (*asked, back, error) {
	client, err := s.Store.Credential(ctx, v.API.Name, "", q["client_id"])
	if errors.Is(err, sallyport.ErrNotFound) || err == nil && (client.Kind != sallyport.KindClient || !usable(client, v)) {
		return nil, back{}, errPage
	}
	if err != nil {
		return nil, back{}, err
	}
	a := &asked{client: client, told: q["redirect_uri"], redirect: q["redirect_uri"], state: q["state"], challenge: q["code_challenge"]}
	if a.told == "" && len(client.Client.Redirects) == 1 {
		a.redirect = client.Client.Redirects[0]
	}
	if !slices.Contains(client.Client.Redirects, a.redirect) {
		return nil, back{}, errPage
	}
	to := back{a.redirect, a.state}
	deny := func(code, detail string) (*asked, back, error) { return nil, to, &problem{0, code, detail} }
	switch {
	case q["response_type"] == "":
		return deny("invalid_request", "response_type is missing")
	case q["response_type"] != "code":
		return deny("unsupported_response_type", "code is the only response type")
	case q["response_mode"] != "" && q["response_mode"] != "query":
		return deny("invalid_request", "query is the only response mode")
	case q["request"] != "" || q["request_uri"] != "":
		return deny("invalid_request", "request objects are not taken")
	case !mayUse(client, v.Operation, sallyport.GrantAuthorizationCode):
		return deny("unauthorized_client", "the client may not use this grant type")
	case a.challenge == "" && client.Client.Public:
		return deny("invalid_request", "code_challenge is missing")
	case a.challenge == "" && q["code_challenge_method"] != "":
		return deny("invalid_request", "code_challenge is missing")
	case a.challenge != "" && q["code_challenge_method"] != "S256":
		return deny("invalid_request", "S256 is the only code_challenge_method")
	case a.challenge != "" && !challengeForm.MatchString(a.challenge):
		return deny("invalid_request", "code_challenge is not one of S256")
	}
	scopes, ok := wanted(v.API, client, q["scope"])
	if !ok {
		return deny("invalid_scope", "a scope is unknown, or the client may not ask for it")
	}
	a.scopes = scopes
	return a, to, nil
}

// wanted returns the scopes that a request asks for; where it names none, those
// that its client was registered with.
func wanted(api *sallyport.API, client *sallyport.Credential, text string) (scopes []string, ok bool) {
	scopes = strings.Fields(text)
	if len(scopes) == 0 {
		scopes = slices.Clone(client.Scopes)
	}
	for _, scope := range scopes {
		if !api.HasScope(scope) || len(client.Scopes) > 0 && !api.Holds(client.Scopes, scope) {
			return nil, false
		}
	}
	slices.Sort(scopes)
	return slices.Compact(scopes), len(scopes) > 0
}

// grantable are the scopes that user can grant of those that were asked for.
func (s *Server) grantable(v *visit.Visit, a *asked, user *sallyport.User) []string {
	var memory []string
	held := v.API.Rights(&memory, &sallyport.Credential{Tenant: a.client.Tenant, User: user})
	return slices.DeleteFunc(slices.Clone(a.scopes), func(scope string) bool { return !v.API.Holds(held, scope) })
}

// sendBack sends the user back to the client, with the issuer, so that a client of
// several cannot take the answer of one for that of another (RFC 9207).
func (s *Server) sendBack(v *visit.Visit, to back, answer url.Values) {
	if to.state != "" {
		answer.Set("state", to.state)
	}
	answer.Set("iss", issuerURL(v))
	separator := "?"
	if strings.Contains(to.redirect, "?") {
		separator = "&"
	}
	v.W.Header().Set("Location", to.redirect+separator+answer.Encode())
	v.W.Header().Set("Referrer-Policy", "no-referrer")
	v.W.WriteHeader(http.StatusSeeOther)
}

// pressed answers to what a page has sent.
func (s *Server) pressed(ctx context.Context, v *visit.Visit, p *page) {
	f, bad := readBody(v)
	if bad != nil || !p.own(f["token"]) {
		p.broken(http.StatusForbidden, "The page has expired. Go back to the application and begin again.")
		return
	}
	if f["step"] == "login" && !elsewhere(v) {
		s.login(ctx, v, p, f)
		return
	}
	user, err := s.signedIn(ctx, v)
	switch {
	case err != nil:
		s.unavailable(v, err)
	case f["step"] == "leave" && elsewhere(v):
		p.forget()
		s.signIn(ctx, v, p, true)
	case f["step"] == "leave":
		p.forget()
		p.again()
	case user == nil || user.Tenant != p.request.client.Tenant.ID:
		p.again()
	case f["step"] == "allow":
		s.allow(ctx, v, p.request, user)
	default:
		s.sendBack(v, p.request.back(), url.Values{"error": {"access_denied"}, "error_description": {"the user did not consent"}})
	}
}

func (a *asked) back() back { return back{a.redirect, a.state} }

// login signs a user in who shows the right password.
func (s *Server) login(ctx context.Context, v *visit.Visit, p *page, f form) {
	name := f["login"]
	if wait, ok := s.mayLogin(ctx, v, name); !ok {
		p.late(wait)
		return
	}
	user, err := s.Store.UserByLogin(ctx, v.API.Name, name)
	if err != nil && !errors.Is(err, sallyport.ErrNotFound) {
		s.unavailable(v, err)
		return
	}
	kept := sallyport.PasswordHash("")
	if err == nil && name != "" {
		kept = user.Password
	}
	right, err := s.Passwords.Verify(ctx, kept, f["password"])
	if err != nil {
		s.unavailable(v, err)
		return
	}
	if !right || user.Tenant != p.request.client.Tenant.ID || user.State != sallyport.Active {
		s.failed(ctx, v, loginName(name))
		p.login(name, "The login or the password is wrong.")
		return
	}
	p.remember(user, p.request.client.Tenant)
	p.again()
}

// allow keeps what the user grants and sends the code for it.
func (s *Server) allow(ctx context.Context, v *visit.Visit, a *asked, user *sallyport.User) {
	scopes := s.grantable(v, a, user)
	if len(scopes) == 0 {
		s.sendBack(v, a.back(), url.Values{"error": {"access_denied"}, "error_description": {"the user holds none of the scopes"}})
		return
	}
	code := newSecret()
	grant := sallyport.Credential{
		ID: "grant_" + newTokenID(), API: v.API.Name, Tenant: a.client.Tenant, User: user, Kind: sallyport.KindGrant, Name: a.client.Name,
		Principal: user.ID, Scopes: scopes, State: sallyport.Active, Client: &sallyport.Client{ID: a.client.ID},
		CreatedAt: v.Now, ExpiresAt: v.Now.Add(v.API.Tokens.Grant),
	}
	err := s.Store.CreateGrant(ctx, grant, sallyport.GrantSecret{
		Digest: s.Hasher.Digest(code), Pepper: s.Hasher.Version(), Kind: sallyport.GrantCode,
		ExpiresAt: v.Now.Add(codeLife), Redirect: a.told, Challenge: a.challenge,
	})
	switch {
	case errors.Is(err, sallyport.ErrNotFound): // the user or the client has ended meanwhile
		s.sendBack(v, a.back(), url.Values{"error": {"access_denied"}, "error_description": {"the user or the client may not do this any more"}})
	case err != nil:
		s.unavailable(v, err)
	default:
		s.sendBack(v, a.back(), url.Values{"code": {code}})
	}
}
