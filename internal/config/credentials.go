package config

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
)

func (a *api) credentials() {
	path := a.sub("credentials")
	a.places(field(path, "read"))
	a.keys(field(path, "keys"))
	a.exchange(path)
	if c := a.in.Credentials; len(c.Keys)+len(c.Tokens) == 0 && !a.has(field(path, "keys")) && !a.has(field(path, "tokens")) {
		a.add(path, "lists neither keys nor tokens", "no credential could be valid; list a key prefix")
	}
}

// exchange holds that what is good for tokens alone can get some.
func (a *api) exchange(path string) {
	mounted := func(serve string) bool {
		return !a.whole(a.sub("endpoints")) || slices.ContainsFunc(a.in.Endpoints, func(e Endpoint) bool { return e.Serve == serve })
	}
	clients := 0
	for i, in := range a.in.Credentials.Keys {
		at := index(field(path, "keys"), i)
		if in.Use == "exchange" && in.Kind != "" && in.Kind != sallyport.KindKey {
			a.add(field(at, "use"), "stands beside kind "+in.Kind, "keys are exchanged")
		}
		if in.Use == "exchange" && !mounted(sallyport.ServeExchange) {
			a.add(field(at, "use"), "is exchange, and nothing exchanges them", "list an endpoint with serve: "+sallyport.ServeExchange)
		}
		if in.Kind != sallyport.KindClient {
			continue
		}
		if clients++; clients > 1 {
			a.add(at, "is a second kind of clients", "list one")
		}
		if !mounted(sallyport.ServeToken) {
			a.add(field(at, "kind"), "is client, and no endpoint gives tokens to clients", "list an endpoint with serve: "+sallyport.ServeToken)
		}
	}
	for i, e := range a.in.Endpoints {
		if e.Serve == sallyport.ServeToken && clients == 0 && a.whole(field(path, "keys")) {
			a.add(field(index(a.sub("endpoints"), i), "serve"), "endpoint "+e.Serve+" has no clients to serve", "list {prefix: …, kind: client} under credentials.keys")
		}
	}
}

func (a *api) places(path string) {
	if len(a.in.Credentials.Read) == 0 {
		a.add(path, "does not say where credentials are read", "write [{header: Authorization, scheme: Bearer}]")
	}
	seen := map[sallyport.Place]bool{}
	for i, in := range a.in.Credentials.Read {
		place := sallyport.Place{Header: strings.ToLower(in.Header), Scheme: in.Scheme, Query: in.Query}
		a.place(index(path, i), in)
		same := place
		same.Scheme = strings.ToLower(same.Scheme)
		if seen[same] && same != (sallyport.Place{}) {
			a.add(index(path, i), "is written twice", "")
		}
		seen[same] = true
		a.out.Places = append(a.out.Places, place)
	}
}

func (a *api) place(path string, in Place) {
	const form = "write {header: NAME}, {header: NAME, scheme: WORD} or {query: NAME}"
	header, query := a.has(field(path, "header")), a.has(field(path, "query"))
	if header == query {
		a.add(path, "is not one header or one query parameter", form)
		return
	}
	if in.Header != "" {
		if problem, hint := headerProblem(in.Header); problem != "" {
			a.add(field(path, "header"), problem, hint)
		}
	}
	if in.Query != "" && !queryName.MatchString(in.Query) {
		a.add(field(path, "query"), quote(in.Query)+" is not the name of a query parameter", "write letters, digits, . _ ~ and -")
	}
	switch {
	case in.Scheme != "" && query:
		a.add(field(path, "scheme"), "stands beside a query parameter", "a scheme is for a header")
	case in.Scheme != "" && !headerName.MatchString(in.Scheme):
		a.add(field(path, "scheme"), quote(in.Scheme)+" is not a scheme", "write one word such as Bearer")
	}
}

func (a *api) keys(path string) {
	var prefixes []string
	var forms []sallyport.KeyForm
	for i, in := range a.in.Credentials.Keys {
		a.key(index(path, i), in)
		if keyPrefix.MatchString(in.Prefix) && !slices.Contains(prefixes, in.Prefix) {
			forms = append(forms, sallyport.KeyForm{Prefix: in.Prefix})
		}
		prefixes = append(prefixes, in.Prefix)
	}
	a.distinct(path, "prefix", prefixes)
	if _, err := apikey.Compile(forms); err != nil {
		a.add(path, err.Error(), "")
	}
}

// key checks one key form. How it is compiled stands in keyForm.
func (a *api) key(path string, in KeyForm) {
	a.required(path, "prefix", "the prefix", "write one such as orders_live_")
	if in.Prefix != "" && !keyPrefix.MatchString(in.Prefix) {
		a.add(field(path, "prefix"), "prefix "+quote(in.Prefix)+" is not one", "write 2 to 32 letters, digits, _ and -")
	}
	a.oneOf(field(path, "kind"), "kind", in.Kind, sallyport.KindKey, sallyport.KindPAT, sallyport.KindClient)
	a.oneOf(field(path, "access"), "access", in.Access, "read")
	a.oneOf(field(path, "use"), "use", in.Use, "api", "exchange")
	if in.Environment != "" && !plainName.MatchString(in.Environment) {
		a.add(field(path, "environment"), "environment "+quote(in.Environment)+" is not a name", "write letters, digits, . _ and -")
	}
	if in.Age.Max > 0 && in.Age.Min > in.Age.Max {
		a.add(field(path, "age"), "has a min that is longer than its max", "")
	}
	if in.Require.Role && len(a.in.Roles) == 0 && !a.in.TenantRoles && !a.has(a.sub("roles")) {
		a.add(field(path, "require.role"), "asks for a role, and there are none", "list roles")
	}
	a.expiry(field(path, "expiry"), in)
	a.distinct(field(path, "expiry"), "choice", in.Expiry)
	if in.Kind == sallyport.KindClient {
		for _, other := range []string{"environment", "access", "sandbox", "use", "legacy"} {
			if a.has(field(path, other)) {
				a.add(field(path, other), "stands beside kind client", "a client's secret is good for tokens alone")
			}
		}
	}
	if in.Require.Role && in.Kind == sallyport.KindPAT {
		a.add(field(path, "require.role"), "stands beside kind pat", "a personal access token has the roles of its user")
	}
	a.out.Keys = append(a.out.Keys, keyForm(in))
}

func (a *api) expiry(path string, in KeyForm) {
	for i, choice := range in.Expiry {
		if choice == "" || choice == "date" {
			continue
		}
		length, problem := parseDuration(choice)
		switch {
		case problem != "":
			a.add(index(path, i), problem, "write durations such as 30d, and date for a date of choice")
		case in.Age.Max > 0 && length > time.Duration(in.Age.Max), length < time.Duration(in.Age.Min):
			a.add(index(path, i), "choice "+quote(choice)+" lies outside of age", "")
		}
	}
}

func keyForm(in KeyForm) sallyport.KeyForm {
	out := sallyport.KeyForm{
		Prefix: in.Prefix, Kind: in.Kind, Environment: in.Environment, Sandbox: in.Sandbox,
		MinAge: time.Duration(in.Age.Min), MaxAge: time.Duration(in.Age.Max),
		Label: in.Require.Label || in.Require.UniqueLabel, UniqueLabel: in.Require.UniqueLabel, Role: in.Require.Role, MinScopes: in.Require.Scopes,
		Expiry: in.Expiry, Exchange: in.Use == "exchange" || in.Kind == sallyport.KindClient, LegacyBody: in.Legacy,
	}
	if out.Kind == "" {
		out.Kind = sallyport.KindKey
	}
	if in.Access == "read" {
		out.Access = sallyport.Read
	}
	return out
}

// What own tokens are where the file does not say.
const (
	usualLifetime = time.Hour
	usualGrant    = 30 * 24 * time.Hour
	usualRotation = 90 * 24 * time.Hour
	maxLifetime   = 24 * time.Hour
)

// tokens compiles whose tokens are accepted. It comes after scopes and plans, which
// claims are mapped to.
func (a *api) tokens() {
	path := a.sub("credentials.tokens")
	var issuers []string
	for i, in := range a.in.Credentials.Tokens {
		at := index(path, i)
		issuers = append(issuers, in.Issuer)
		a.required(at, "issuer", "who issues the tokens", "write self, or the https URL of an issuer")
		switch in.Issuer {
		case "":
		case issuerSelf:
			a.ownTokens(at, &in)
			if slices.ContainsFunc(a.in.Credentials.Tokens, func(t TokenUse) bool { return t.Issuer == in.URL && in.URL != "" }) {
				a.add(field(at, "url"), "is another issuer", "one name is one issuer")
			}
		default:
			a.issuer(at, &in)
		}
	}
	a.distinct(path, "issuer", issuers)
}

// ownTokens compiles what the gate issues itself.
func (a *api) ownTokens(path string, in *TokenUse) {
	a.misplaced(path, "another issuer", "jwks", "introspection", "algorithms", "leeway", "ca", "claims")
	a.oneOf(field(path, "algorithm"), "algorithm", in.Algorithm, algorithms...)
	own := &sallyport.OwnTokens{
		Algorithm: in.Algorithm, URL: strings.TrimSuffix(in.URL, "/"),
		Lifetime: a.usually(field(path, "lifetime"), in.Lifetime, usualLifetime),
		Grant:    a.usually(field(path, "grant"), in.Grant, usualGrant),
		Rotate:   a.usually(field(path, "rotate"), in.Rotate, usualRotation),
	}
	if own.Algorithm == "" {
		own.Algorithm = algorithms[0]
	}
	if u, err := url.Parse(in.URL); in.URL != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil) {
		a.add(field(path, "url"), "is not the URL of an issuer", "write one such as https://auth.example.com (RFC 8414 section 2)")
	}
	a.audience(path, in.Audience)
	switch {
	case len(in.Audience) > 1:
		a.add(field(path, "audience"), "names several", "our own tokens are for one")
	case len(in.Audience) == 1:
		own.Audience = in.Audience[0]
	case len(a.in.Hosts) > 0:
		own.Audience = "https://" + a.in.Hosts[0]
	}
	if in.Login != nil {
		own.Login = a.login(field(path, "login"), in.Login)
	}
	const second = time.Second
	if own.Lifetime > maxLifetime || own.Lifetime%second != 0 {
		a.add(field(path, "lifetime"), "is too long, or not of whole seconds", "at most "+maxLifetime.String())
	}
	if own.Grant < own.Lifetime {
		a.add(field(path, "grant"), "is shorter than the lifetime of a token", "")
	}
	if own.Rotate < 2*own.Lifetime {
		a.add(field(path, "rotate"), "is too short", "at least twice the lifetime of a token")
	}
	a.out.Tokens = own
}

// usually returns what stands at path, or usual where nothing does.
func (a *api) usually(path string, in Duration, usual time.Duration) time.Duration {
	if a.has(path) {
		return time.Duration(in)
	}
	return usual
}
