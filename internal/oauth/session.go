package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/visit"
)

// session says who has signed in, in a cookie that only the gate can make. It is
// good while nothing has happened that ends the user's tokens, and an hour at most.
type session struct {
	API    string `json:"a"`
	Tenant string `json:"t"`
	User   string `json:"u"`
	Epoch  uint64 `json:"e"` // of the user and its tenant
	Mark   string `json:"p"` // of the password
	Until  int64  `json:"s"` // Unix seconds
}

const (
	sessionLife    = time.Hour
	sessionPurpose = "session"
	pagePurpose    = "page"
	cookieSession  = "sallyport_session"
	cookiePage     = "sallyport_page"
)

// cookieName returns the name under which a cookie is kept: over TLS one that no
// other host and no plain page can set (RFC 6265bis §4.1.3).
func cookieName(v *visit.Visit, name string) string {
	if secure(v) {
		return "__Host-" + name
	}
	return name
}

func secure(v *visit.Visit) bool { return v.R.Header.Get("X-Forwarded-Proto") == "https" }

func setCookie(v *visit.Visit, name, value string, age int) {
	http.SetCookie(v.W, &http.Cookie{
		Name: cookieName(v, name), Value: value, Path: "/", MaxAge: age, Secure: secure(v), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// cookie returns the value of a cookie that is there once.
func cookie(v *visit.Visit, name string) string {
	if found := v.R.CookiesNamed(cookieName(v, name)); len(found) == 1 {
		return found[0].Value
	}
	return ""
}

func sign(h *apikey.Hasher, purpose, text string) string {
	key := h.Derive(purpose)
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// signed reports whether h or one before it made mac.
func signed(h *apikey.Hasher, purpose, text, mac string) bool {
	for _, one := range append([]*apikey.Hasher{h}, h.Older()...) {
		if hmac.Equal([]byte(sign(one, purpose, text)), []byte(mac)) {
			return true
		}
	}
	return false
}

// maxKept is what a browser keeps in one cookie, less its name and the rest.
const maxKept = 3900

// keep keeps what in a signed cookie; false where it is too long for one.
func (p *page) keep(name, purpose string, what any, life time.Duration) bool {
	text, err := json.Marshal(what)
	body := base64.RawURLEncoding.EncodeToString(text)
	if err != nil || len(body) > maxKept {
		return false
	}
	setCookie(p.Visit, name, body+"."+sign(p.hasher, purpose, body), int(life/time.Second))
	return true
}

// kept reads what keep has kept into to; false where it is not there, or nobody here
// made it.
func (s *Server) kept(v *visit.Visit, name, purpose string, to any) bool {
	body, mac, _ := strings.Cut(cookie(v, name), ".")
	if body == "" || !signed(s.Hasher, purpose, body, mac) {
		return false
	}
	text, err := base64.RawURLEncoding.DecodeString(body)
	return err == nil && json.Unmarshal(text, to) == nil
}

// remember keeps that user has signed in.
func (p *page) remember(user *sallyport.User, tenant *sallyport.Tenant) {
	p.keep(cookieSession, sessionPurpose, session{
		user.API, user.Tenant, user.ID, user.Epoch + tenant.Epoch, passwordMark(user), p.Now.Add(sessionLife).Unix(),
	}, sessionLife)
}

// passwordMark changes with the password of u, and does not help to guess it.
func passwordMark(u *sallyport.User) string {
	sum := sha256.Sum256([]byte(u.Password))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

// forget signs the user out.
func (p *page) forget() { setCookie(p.Visit, cookieSession, "", -1) }

// signedIn returns the user who has signed in; nil where nobody has.
func (s *Server) signedIn(ctx context.Context, v *visit.Visit) (*sallyport.User, error) {
	var kept session
	if !s.kept(v, cookieSession, sessionPurpose, &kept) || kept.API != v.API.Name || v.Now.Unix() >= kept.Until {
		return nil, nil
	}
	user, err := s.Store.User(ctx, kept.API, kept.Tenant, kept.User)
	if err == nil {
		var tenant *sallyport.Tenant
		if tenant, err = s.Store.Tenant(ctx, kept.API, kept.Tenant); err == nil &&
			(user.State != sallyport.Active || tenant.State != sallyport.Active || user.Epoch+tenant.Epoch != kept.Epoch || passwordMark(user) != kept.Mark) {
			return nil, nil
		}
	}
	if errors.Is(err, sallyport.ErrNotFound) {
		return nil, nil
	}
	return user, err
}

// pageToken returns what a page's forms must send back: it belongs to the browser
// that got the page and to the request that the page is about, so that no other
// site can press its buttons.
func (p *page) pageToken() string {
	mark := cookie(p.Visit, cookiePage)
	if mark == "" {
		var b [16]byte
		rand.Read(b[:]) // it does not fail
		mark = base64.RawURLEncoding.EncodeToString(b[:])
		setCookie(p.Visit, cookiePage, mark, 0)
	}
	return sign(p.hasher, pagePurpose, mark+" "+p.R.URL.RawQuery)
}

// own reports whether a form was sent by the page that the browser got.
func (p *page) own(token string) bool {
	site := p.R.Header.Get("Sec-Fetch-Site")
	mark := cookie(p.Visit, cookiePage)
	return (site == "" || site == "same-origin" || site == "none") && mark != "" && signed(p.hasher, pagePurpose, mark+" "+p.R.URL.RawQuery, token)
}
