package config

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
)

// This file is about who calls, beside the credential: free facts about them,
// and scripts of other origins.

func (a *api) attributes() {
	path := a.sub("attributes")
	var names []string
	taken := map[string]string{}
	for i, in := range a.in.Attributes {
		at := index(path, i)
		names = append(names, in.Name)
		a.required(at, "name", "which attribute", "write one such as {name: team, header: X-Team}")
		if in.Name != "" && !plainName.MatchString(in.Name) {
			a.add(field(at, "name"), quote(in.Name)+" is not the name of an attribute", "write letters, digits, . _ and -")
		}
		if in.Header == "" && !in.Metadata {
			a.add(at, "makes nothing of the attribute", "write header: NAME or metadata: true")
		}
		header := strings.ToLower(in.Header)
		if header != "" {
			if problem, hint := headerProblem(header); problem != "" {
				a.add(field(at, "header"), problem, hint)
			}
			if other, twice := taken[header]; twice {
				a.add(field(at, "header"), "header "+quote(in.Header)+" carries attribute "+other+" already", "")
			}
			taken[header] = in.Name
		}
		for _, place := range a.in.Credentials.Read {
			if header != "" && strings.EqualFold(place.Header, header) {
				a.add(field(at, "header"), "header "+quote(in.Header)+" carries the credential", "choose another")
			}
		}
		a.out.Attributes = append(a.out.Attributes, sallyport.AttributeUse{Name: in.Name, Header: header, Metadata: in.Metadata})
	}
	a.distinct(path, "attribute", names)
}

func (a *api) cors() {
	in, path := a.in.CORS, a.sub("cors")
	if !a.has(path) {
		return
	}
	a.required(path, "origins", "which origins may call", "write one such as https://app.example.com")
	for i, origin := range in.Origins {
		at := index(field(path, "origins"), i)
		switch {
		case origin == "":
		case origin == "*" && in.Credentials:
			a.add(at, "stands beside credentials: true", "any site could use its visitors' cookies; list the origins")
		case origin != "*" && !isOrigin(origin):
			a.add(at, quote(origin)+" is not an origin", "write https://HOST, https://*.DOMAIN, or *")
		}
	}
	a.distinct(field(path, "origins"), "origin", in.Origins)
	for i, m := range in.Methods {
		a.oneOf(index(field(path, "methods"), i), "method", m, methods...)
	}
	for _, list := range []struct {
		name   string
		values List
		any    bool
	}{{"headers", in.Headers, true}, {"expose", in.Expose, false}} {
		for i, name := range list.values {
			if name != "" && !(name == "*" && list.any) && !headerName.MatchString(name) {
				a.add(index(field(path, list.name), i), quote(name)+" is not a header name", "write a name such as X-API-Key")
			}
		}
	}
	a.out.CORS = sallyport.CORS{
		Origins: in.Origins, Methods: in.Methods, Headers: a.corsHeaders(in.Headers), Expose: in.Expose,
		Credentials: in.Credentials, MaxAge: time.Duration(in.MaxAge),
	}
}

// corsHeaders is what a script may send where the file does not say.
func (a *api) corsHeaders(given List) []string {
	if len(given) > 0 {
		return given
	}
	headers := []string{"Content-Type"}
	for _, place := range a.in.Credentials.Read {
		if place.Header != "" && !slices.Contains(headers, place.Header) {
			headers = append(headers, place.Header)
		}
	}
	return headers
}

// isOrigin reports whether s is scheme://host[:port] in lower case; the host
// may begin with a wildcard.
func isOrigin(s string) bool {
	u, err := url.Parse(strings.Replace(s, "://*.", "://", 1))
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil &&
		u.Path == "" && u.RawQuery == "" && u.Fragment == "" && isHostName(u.Hostname()) && s == strings.ToLower(s)
}
