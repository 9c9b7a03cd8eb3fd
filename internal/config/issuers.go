package config

import (
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/issuer"
)

// issuerSelf is how the file writes the gate itself.
const issuerSelf = "self"

const maxIntrospectionKeep = 15 * time.Minute

// issuer compiles whose tokens are accepted besides our own.
func (a *api) issuer(path string, in *TokenUse) {
	if in.Issuer != "" && !isHTTPS(in.Issuer) {
		a.add(field(path, "issuer"), "is neither self nor an https URL", "write it as the iss claim of its tokens has it")
	}
	a.misplaced(path, "issuer self", "algorithm", "lifetime", "grant", "rotate", "url", "login")
	a.audience(path, in.Audience)
	out := sallyport.Issuer{
		URL: in.Issuer, Keys: in.JWKS, Audience: in.Audience, Algorithms: in.Algorithms, CA: in.CA,
		Leeway: a.usually(field(path, "leeway"), in.Leeway, issuer.DefaultLeeway),
		Claims: a.claims(path, &in.Claims),
	}
	if out.Leeway > issuer.MaxLeeway {
		a.add(field(path, "leeway"), "is too long", "at most "+issuer.MaxLeeway.String())
	}
	switch jwks := a.has(field(path, "jwks")); {
	case jwks && a.has(field(path, "introspection")):
		a.add(path, "has both jwks and introspection", "its tokens are JWTs that its keys verify, or it is asked about them")
	case jwks:
		a.keysOf(path, in)
	case in.Introspection != nil:
		a.misplaced(path, "JWTs", "algorithms")
		out.Introspect = a.introspection(field(path, "introspection"), in.Introspection)
	default:
		a.add(path, "does not say how its tokens are verified", "write jwks: with the https URL or the file of its keys, or introspection: {url, client, secret}")
	}
	a.out.Issuers = append(a.out.Issuers, out)
}

// login compiles where users sign in.
func (a *api) login(path string, in *Login) *sallyport.Login {
	a.required(path, "issuer", "where users sign in", "write the https URL of an OpenID provider")
	a.required(path, "client", "as whom we ask it", "write a client id that it has given us")
	checkSecret(a.faults, field(path, "secret"), in.Secret, true)
	if in.Issuer != "" && !isHTTPS(in.Issuer) {
		a.add(field(path, "issuer"), "is not an https URL", "")
	}
	out := &sallyport.Login{Issuer: in.Issuer, Client: in.Client, Secret: sallyport.SecretPlace(in.Secret), Scopes: in.Scopes, Claim: in.Claim, CA: in.CA}
	if out.Claim == "" {
		out.Claim = "sub"
	}
	if len(out.Scopes) == 0 {
		out.Scopes = []string{"openid"}
		switch out.Claim {
		case "sub":
		case "email":
			out.Scopes = append(out.Scopes, "email")
		default:
			out.Scopes = append(out.Scopes, "profile")
		}
	}
	a.distinct(field(path, "scopes"), "scope", in.Scopes)
	if a.has(field(path, "scopes")) && !slices.Contains(in.Scopes, "openid") {
		a.add(field(path, "scopes"), "lacks openid", "without it there is no ID token")
	}
	if !a.whole(a.sub("endpoints")) || slices.ContainsFunc(a.in.Endpoints, func(e Endpoint) bool { return e.Serve == sallyport.ServeCallback }) {
		return out
	}
	a.add(path, "has no endpoint to which users come back", "list one such as {GET: /oauth2/callback, serve: "+sallyport.ServeCallback+"}")
	return out
}

// keysOf checks how JWTs are verified.
func (a *api) keysOf(path string, in *TokenUse) {
	if in.JWKS != "" && isURL(in.JWKS) && !isHTTPS(in.JWKS) {
		a.add(field(path, "jwks"), "is neither an https URL nor a file", "")
	}
	a.distinct(field(path, "algorithms"), "algorithm", in.Algorithms)
	for i, name := range in.Algorithms {
		a.oneOf(index(field(path, "algorithms"), i), "algorithm", name, issuer.Algorithms()...)
	}
	if len(in.Audience) == 0 {
		a.add(field(path, "audience"), "does not say who its tokens are for", "tokens for others would be accepted; write what their aud says")
	}
}

func (a *api) introspection(path string, in *Introspection) *sallyport.Introspect {
	a.required(path, "url", "where it is asked", "write the https URL of its introspection endpoint")
	a.required(path, "client", "as whom it is asked", "write a client id that it has given us")
	checkSecret(a.faults, field(path, "secret"), in.Secret, true)
	if in.URL != "" && !isHTTPS(in.URL) {
		a.add(field(path, "url"), "is not an https URL", "")
	}
	a.oneOf(field(path, "secret_in"), "place", in.SecretIn, "header", "body")
	out := &sallyport.Introspect{
		URL: in.URL, Client: in.Client, Secret: sallyport.SecretPlace(in.Secret), InBody: in.SecretIn == "body",
		Keep: a.usually(field(path, "keep"), in.Keep, issuer.DefaultKeep),
	}
	if out.Keep > maxIntrospectionKeep {
		a.add(field(path, "keep"), "is too long", "at most "+maxIntrospectionKeep.String()+": a token that is revoked there is good here until then")
	}
	return out
}

// claims checks what the claims of the issuer at path mean.
func (a *api) claims(path string, in *Claims) sallyport.Claims {
	at := field(path, "claims")
	for _, c := range [][2]string{{"tenant", in.Tenant}, {"user", in.User}, {"scopes", in.Scopes}, {"plan", in.Plan}} {
		if c[1] == "" {
			continue
		}
		if _, err := issuer.ParsePath(c[1]); err != nil {
			a.addError(field(at, c[0]), err)
		}
	}
	switch {
	case in.Tenant == "" && in.FixedTenant == "" && a.whole(at):
		a.add(at, "does not say whose tenant a token is for", "write tenant: CLAIM, or fixed_tenant: TENANT where all are of one")
	case in.Tenant != "" && in.FixedTenant != "":
		a.add(field(at, "fixed_tenant"), "stands beside tenant", "a token has one tenant")
	case in.FixedTenant != "" && !issuer.Carriable(in.FixedTenant):
		a.add(field(at, "fixed_tenant"), quote(in.FixedTenant)+" is not the id of a tenant", "")
	}
	for _, theirs := range slices.Sorted(maps.Keys(in.ScopeMap)) {
		a.known(key(field(at, "scope_map"), theirs), "scope", in.ScopeMap[theirs], a.scopeNames())
	}
	for _, theirs := range slices.Sorted(maps.Keys(in.PlanMap)) {
		a.knownPlan(key(field(at, "plan_map"), theirs), in.PlanMap[theirs])
	}
	if len(in.PlanMap) > 0 && in.Plan == "" {
		a.add(field(at, "plan_map"), "stands without plan", "write plan: CLAIM")
	}
	return sallyport.Claims(*in)
}

// audience checks who the tokens of the issuer at path are for.
func (a *api) audience(path string, list List) {
	at := field(path, "audience")
	a.distinct(at, "audience", list)
	for i, one := range list {
		if one != "" && !headerValue.MatchString(one) {
			a.add(index(at, i), "is not one", "write printable ASCII, such as https://api.example.com")
		}
	}
}

// misplaced says which of names stand at path and belong to something else.
func (a *api) misplaced(path, to string, names ...string) {
	for _, name := range names {
		if a.has(field(path, name)) {
			a.add(field(path, name), "belongs to "+to, "")
		}
	}
}

func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme != "" && u.Host != ""
}

func isHTTPS(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.Fragment == ""
}
