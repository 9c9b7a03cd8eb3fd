package oauth

import (
	"crypto/sha256"
	_ "embed" // the pages
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
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

	provider string // origin of where users sign in, if not here
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
	Scopes  []string
	Goes    string // the host that the user is sent back to
	Message string
}

func (p *page) show(status int, name string, data shown) {
	data.Style, data.API = template.CSS(pagesCSS), p.API.Name
	h := p.W.Header()
	// A browser holds form-action against redirects of what it has sent, too.
	action := "'self'"
	if p.provider != "" {
		action += " " + p.provider
	}
	if p.request != nil {
		data.Client, data.Tenant = p.request.client.Name, p.request.client.Tenant.Name
		if data.Client == "" {
			data.Client = p.request.client.ID
		}
		if data.Tenant == "" {
			data.Tenant = p.request.client.Tenant.ID
		}
		data.Action, data.Token = p.R.URL.RequestURI(), p.pageToken()
		if to, err := url.Parse(p.request.redirect); err == nil {
			data.Goes = to.Host
			if to.Host == "" {
				data.Goes = to.Scheme
				action += " " + to.Scheme + ":"
			} else {
				action += " " + to.Scheme + "://" + to.Host
			}
		}
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src "+styleHash+"; form-action "+action+"; frame-ancestors 'none'; base-uri 'none'")
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
	p.show(status, "login", shown{Login: login, Fault: fault})
}

// consent asks the user to grant scopes.
func (p *page) consent(user *sallyport.User, scopes []string) {
	name := user.Name
	if name == "" {
		name = user.Login
	}
	p.show(http.StatusOK, "consent", shown{User: name, Scopes: scopes})
}

// broken says that there is no way on.
func (p *page) broken(status int, message string) { p.show(status, "broken", shown{Message: message}) }

// late asks the user to wait.
func (p *page) late(wait time.Duration) {
	p.W.Header().Set("Retry-After", strconv.FormatInt(int64(max(time.Second, wait)/time.Second), 10))
	p.show(http.StatusTooManyRequests, "broken", shown{Message: "Too many attempts. Wait a moment and try again."})
}

// again shows the page anew, by GET.
func (p *page) again() {
	p.W.Header().Set("Location", p.R.URL.RequestURI())
	p.W.WriteHeader(http.StatusSeeOther)
}
