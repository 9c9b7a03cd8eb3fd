package extauthz

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/pattern"
)

// admit says whether the credential of d is good now and from here. It is
// judged for every request: nothing of it is remembered as a verdict.
func admit(d *sallyport.Decision, req *sallyport.Request) sallyport.Reason {
	c := d.Credential
	switch {
	case c.State == sallyport.Revoked:
		return sallyport.CredentialRevoked
	case c.State != sallyport.Active:
		return sallyport.CredentialDisabled
	case c.Expired(d.At):
		return sallyport.CredentialExpired
	case c.Tenant.State != sallyport.Active:
		return sallyport.TenantDisabled
	case c.User != nil && c.User.State != sallyport.Active:
		return sallyport.UserDisabled
	case len(c.AllowedIPs) > 0 && !allowsAddress(c.Networks, req.Client()):
		return sallyport.AddressRefused
	}
	return sallyport.Allowed
}

// allowsAddress reports whether one of the networks holds address. An address
// that cannot be read is in none.
func allowsAddress(networks sallyport.Networks, address string) bool {
	ip, err := netip.ParseAddr(address)
	return err == nil && networks.Contains(ip)
}

// permit says whether the credential of d may do its operation, in the form
// that req has. Answered means that it may, and that the gate answers.
func permit(d *sallyport.Decision, api *apiRules, op route, req *sallyport.Request, params *pattern.Params) sallyport.Reason {
	c := d.Credential
	switch {
	case namesForeignTenant(op, req, params, c.Tenant.ID):
		return sallyport.TenantForeign
	case c.Access == sallyport.Read && op.Access != sallyport.Read:
		d.Missing = "write"
		return sallyport.AccessReadOnly
	case len(op.Scopes) > 0 && !api.permits(c, op.Granted):
		d.Missing = op.Scopes[0]
		return sallyport.ScopeMissing
	case c.User != nil && op.Category != "" && slices.Contains(c.User.Off, op.Category):
		return sallyport.CategoryOff
	case api.Media.Accept != "" && !accepts(req, api.Media.Accept):
		return sallyport.MediaUnacceptable
	case api.Media.Content != "" && !declared(req, api.Media.Content):
		return sallyport.MediaUnsupported
	case c.Sandbox && op.Sandbox == nil:
		return sallyport.SandboxUnlisted
	case c.Sandbox || op.Answer != nil:
		return sallyport.Answered
	}
	return sallyport.Allowed
}

// holdsOne reports whether held and wanted have a scope in common. Both are a
// handful, so looking beats hashing.
func holdsOne(held, wanted []string) bool {
	for _, h := range held {
		for _, w := range wanted {
			if h == w {
				return true
			}
		}
	}
	return false
}

// namesForeignTenant reports whether req names a tenant other than own in one
// of the places where op says that a tenant may be named. Every
// mention counts: a second header or parameter is no way round the first.
func namesForeignTenant(op route, req *sallyport.Request, params *pattern.Params, own string) bool {
	if op.tenantAt >= 0 && params.At(op.tenantAt).Value != own {
		return true
	}
	where := op.Tenant
	if where.Header != "" {
		for i := range req.Headers {
			if req.Headers[i].Name == where.Header && req.Headers[i].Value != own {
				return true
			}
		}
	}
	if where.Query != "" {
		for query := req.Query; query != ""; {
			var pair string
			pair, query, _ = strings.Cut(query, "&")
			if key, value, _ := strings.Cut(pair, "="); unescape(key) == where.Query && unescape(value) != own {
				return true
			}
		}
	}
	return false
}
