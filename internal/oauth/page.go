package oauth

import (
	"crypto/sha256"
	_ "embed" // the pages
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/visit"
)

//go:embed pages.html
var pagesHTML string

//go:embed pages.css
var pagesCSS string

var pages = template.Must(template.New("pages").Parse(pagesHTML))

// styleHash lets the one style of the pages apply, and no other (CSP Level 3).
var styleHash = func() string {
	sum := sha256.Sum256([]byte(pagesCSS))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

// page is what a user sees of an authorization request. It works without scripts.
type page struct {
	*visit.Visit
	hasher  *apikey.Hasher
	request *asked
}

func (s *Server) newPage(v *visit.Visit) *page { return &page{Visit: v, hasher: s.Hasher} }

// shown is what the templates show.
type shown struct {
	Style   template.CSS
	API     string
	Client  string
	Tenant  string
	Action  string
	Token   string
	Login   string
	Fault   string
	User    string
	Scopes  []sallyport.Scope
	Lasts   string // how long a grant is good
	Goes    string // the host that the user is sent back to
	Message string
}

func (p *page) show(status int, name, formAction string, data shown) {
	data.Style, data.API = template.CSS(pagesCSS), p.API.Name
	if p.request != nil {
		data.Client, data.Tenant = p.request.client.Name, p.request.client.Tenant.Name
		if data.Client == "" {
			data.Client = p.request.client.ID
		}
		if data.Tenant == "" {
			data.Tenant = p.request.client.Tenant.ID
		}
		data.Action, data.Token = p.R.URL.RequestURI(), p.pageToken()
	}
	h := p.W.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src "+styleHash+"; form-action "+formAction+"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	p.W.WriteHeader(status)
	_ = pages.ExecuteTemplate(p.W, name, data) // the user may have gone; there is nobody else to tell
}

// login asks the user to sign in.
func (p *page) login(login, fault string) {
	status := http.StatusOK
	if fault != "" {
		status = http.StatusUnauthorized
	}
	p.show(status, "login", "'self'", shown{Login: login, Fault: fault})
}

// consent asks the user to grant scopes.
func (p *page) consent(user *sallyport.User, scopes []string) {
	name := user.Name
	if name == "" {
		name = user.Login
	}
	goes, scheme := p.request.redirect, "https"
	if to, err := url.Parse(goes); err == nil {
		goes, scheme = to.Host, to.Scheme
		if to.Host == "" {
			goes = to.Scheme
		}
	}
	// A browser holds form-action against every redirect of what it has sent, also
	// against those that the application makes from its own address to another, and
	// those of the provider where users sign in.
	p.show(http.StatusOK, "consent", "'self' https: "+scheme+":", shown{User: name, Scopes: inFull(p.API, scopes), Lasts: inWords(p.API.Tokens.Grant), Goes: goes})
}

// inFull returns the scopes of api that are called names, in its own order.
func inFull(api *sallyport.API, names []string) (all []sallyport.Scope) {
	for _, scope := range api.Scopes {
		if slices.Contains(names, scope.Name) {
			all = append(all, scope)
		}
	}
	return all
}

// inWords tells a length of time in its largest unit, rounded up: it is a bound.
func inWords(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		switch {
		case d == unit.length:
			return "1 " + unit.name
		case d > unit.length:
			return strconv.FormatInt(int64((d+unit.length-1)/unit.length), 10) + " " + unit.name + "s"
		}
	}
	return "1 minute"
}

// broken says that there is no way on.
func (p *page) broken(status int, message string) {
	p.show(status, "broken", "'none'", shown{Message: message})
}

// late asks the user to wait.
func (p *page) late(wait time.Duration) {
	p.W.Header().Set("Retry-After", strconv.FormatInt(int64(max(time.Second, wait)/time.Second), 10))
	p.show(http.StatusTooManyRequests, "broken", "'none'", shown{Message: "Too many attempts. Wait a moment and try again."})
}

// again shows the page anew, by GET.
func (p *page) again() {
	p.W.Header().Set("Location", p.R.URL.RequestURI())
	p.W.WriteHeader(http.StatusSeeOther)
}
