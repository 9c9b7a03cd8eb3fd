package e2e

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// evasion is a request by which a caller tries to reach what its key does not
// allow, by making the gate and the upstream see different requests.
//
// {{key}} is a key for devices:read, {{other}} another one of the same kind,
// {{boxed}} one that may be used from 203.0.113.7 alone; {{host}} is the API's
// host, {{elsewhere}} that of another API.
type evasion struct {
	name     string
	raw      string // the bytes sent
	status   []int  // each of its answers has one of these
	reaches  string // what the upstream gets, as METHOD TARGET; "": nothing
	stranger bool   // it carries no credential that is good
}

// The answers that a row may want.
var (
	passes  = []int{200}
	unknown = []int{401}
	scoped  = []int{403} // judged as what it is, and the key may not
	nowhere = []int{404}
	broken  = []int{400}
	large   = []int{431}
)

// ask writes a request with the key; more are header lines.
func ask(line string, more ...string) string {
	return bare(line, append([]string{"Host: {{host}}", "X-API-Key: {{key}}"}, more...)...)
}

// bare writes a request with nothing but the header lines more.
func bare(line string, more ...string) string {
	return line + " HTTP/1.1\r\n" + strings.Join(append(more, "Connection: close"), "\r\n") + "\r\n\r\n"
}

// evasions is the whole table.
func evasions() []evasion {
	return slices.Concat(paths(), methods(), targets(), hosts(), overrides(), credentials(), identities(), addresses(), lines(), framings(), upgrades())
}

// each makes a row of every request line, named after its kind and itself.
func each(kind string, status []int, reaches string, lines ...string) (all []evasion) {
	for _, line := range lines {
		all = append(all, evasion{name: fmt.Sprintf("%s: %.80s", kind, line), raw: ask(line), status: status, reaches: reaches})
	}
	return all
}

// asWritten is each for lines that reach the upstream as they are.
func asWritten(kind string, lines ...string) (all []evasion) {
	for _, line := range lines {
		all = append(all, each(kind, passes, line, line)...)
	}
	return all
}

func paths() []evasion {
	return slices.Concat(
		each("dot segments", scoped, "", "GET /v1/devices/../audit", "GET /v1/devices/%2e%2e/audit", "GET /v1/devices/.%2E/audit",
			"GET /../../v1/audit", "GET /v1/devices;/../audit", "GET /v1/devices/7;x=/../../audit", "DELETE /v1/devices/x/../7",
			"GET /v1/devices/..;/audit", "GET /v1/devices/..;x=1/audit",
			"GET /v1/devices"+strings.Repeat("/a/..", 2000)+"/../audit"),
		each("dot segments", nowhere, "", "GET /v1/devices/%252e%252e/audit", "GET /v1/devices/%25252e%25252e/audit", "GET /v1/devices/.",
			"GET /v1/audit/%2e", "GET /v1/audit/x/..", "GET /v1/devices/%2e%2e;/audit", "GET /v1/devices/..%2faudit",
			"GET /v1/devices/%2e%2e%2faudit", "GET /v1/devices/.../audit", "GET /v1/devices/..%20/audit", "GET /v1/devices/%EF%BC%8E%EF%BC%8E/audit"),
		each("dot segments to the listed path", passes, "GET /v1/devices", "GET /v1/audit/../devices", "GET /v1/audit%2fx/../devices", "GET /v1/audit%3f/../devices",
			"GET /v1/audit/..;/devices", "GET /v1/audit/..;x=1/devices"),
		each("encoded slash", nowhere, "", "GET /v1%2faudit", "GET /v1%2Faudit", "GET /v1/devices/7%2Fkeys", "GET /v1/devices/7%252fkeys",
			"GET /v1/devices%2f", "GET /%2fv1/audit", "GET /v1%E2%88%95audit", "GET /v1:audit"),
		each("backslash", scoped, "", `GET /v1\audit`, `GET /v1/devices\..\audit`),
		each("backslash", nowhere, "", `GET /v1/devices/7\keys`, "GET /v1/devices%5c..%5caudit"),
		each("backslash", broken, "", `GET \v1\audit`),
		each("doubled slash", scoped, "", "GET /v1//audit", "DELETE /v1/devices//7", "GET //v1/audit"),
		each("doubled slash as an authority", nowhere, "", "GET //{{elsewhere}}/v1/devices", "GET //{{host}}/v1/devices"),
		each("slash at the end", nowhere, "", "GET /v1/devices/", "GET /v1/audit/", "DELETE /v1/devices/7//"),
		each("encoded letter", scoped, "", "GET /v1/%61udit", "DELETE /v1/%64evices/7"),
		each("encoded letter", nowhere, "", "GET /v1/%2561udit", "GET /v1/device%C5%BF", "GET /v1/%EF%BD%81udit"),
		each("encoded letter of the listed path", passes, "GET /v1/devices", "GET /v1/%64evices"),
		each("overlong", nowhere, "", "GET /v1/devices/..%c0%afaudit", "GET /v1/devices/..%e0%80%afaudit", "GET /v1/devices/%c0%ae%c0%ae/audit",
			"GET /v1/devices/%c0%ae%c0%ae", "GET /v1/devices/%c3", "GET /v1/devices/%ed%a0%80"),
		each("broken encoding", nowhere, "", "GET /v1/devices/..%u002faudit", "GET /v1/devices/%2", "GET /v1/devices/%%32%66audit"),
		each("NUL", broken, "", "GET /v1/audit%00/v1/devices", "GET /v1/devices/..%00/audit"),
		each("control", nowhere, "", "GET /v1/devices/7%2500", "GET /v1/devices/7%0a", "GET /v1/audit%09", "GET /v1/audit%20",
			"GET /v1/devices%20HTTP/1.1%0d%0aX-Sallyport-Tenant:%20evil"),
		each("raw bytes", broken, "", "GET /v1/devices/\xff", "GET /v1/devices/..\uff0faudit"),
		asWritten("one segment", "GET /v1/devices/a%20b", "GET /v1/devices/..%EF%BC%8Faudit", "GET /v1/devices/"+strings.Repeat("a", 40000)),
		each("parameter", nowhere, "", "GET /v1/devices;jsessionid=1", "GET /v1/audit;/v1/devices", "GET /v1/devices/7%3bx", "GET /v1/;/audit"),
		each("end", nowhere, "", "GET /v1/audit.", "GET /v1/audit.json", "GET /v1/audit::$DATA"),
		each("end", scoped, "", "DELETE /v1/devices/7."),
		each("case", nowhere, "", "GET /v1/Audit", "GET /V1/audit", "GET /v1/DEVICES"),
		each("unlisted", nowhere, "", "GET /internal", "GET /", "GET /v1/devices/7/keys", "GET /v1/{id}", "GET /v1/devices"+strings.Repeat("/a", 5000)),
		each("too long", large, "", "GET /v1/devices/"+strings.Repeat("a", 70000)),
		asWritten("query", "GET /v1/devices?/../audit", "GET /v1/devices/7?_method=DELETE", "GET /v1/devices?a=%0d%0aDELETE%20/v1/devices/7"),
		each("query", nowhere, "", "GET /v1/devices%3fx", "GET /v1/devices/7%23x"),
		each("query", scoped, "", "GET /v1/audit?/v1/devices"),
		each("query", broken, "", "GET ?/v1/devices"),
		each("fragment", broken, "", "GET /v1/audit#/../devices", "GET /v1/devices?a#/v1/audit", "GET #/v1/devices"))
}

func methods() []evasion {
	form := ask("POST /v1/devices/7", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 11") + "_method=GET"
	all := slices.Concat(
		asWritten("method", "HEAD /v1/devices"),
		each("method", scoped, "", "HEAD /v1/audit", "POST /v1/devices", "DELETE /v1/devices/7", "POST /v1/api-keys"),
		each("method", nowhere, "", "OPTIONS *", "OPTIONS /v1/devices", "DELETE /v1/devices", "TRACE /v1/devices", "PROPFIND /v1/devices",
			"PURGE /v1/devices", "CONNECT {{host}}:443"),
		each("no method", broken, "", "CONNECT /v1/devices", "get /v1/devices", "Get /v1/devices", "gET /v1/devices", "GETX /v1/devices", "BREW /v1/devices",
			"GET,DELETE /v1/devices", "G\x00ET /v1/devices", "D\u0116LETE /v1/devices/7", " /v1/devices"))
	return append(all,
		evasion{name: "method in a form", raw: form, status: scoped},
		evasion{name: "preflight", raw: ask("OPTIONS /v1/devices/7", "Origin: https://evil.test", "Access-Control-Request-Method: DELETE"), status: nowhere},
		evasion{name: "preflight without a key", raw: bare("OPTIONS /v1/audit", "Host: {{host}}", "Origin: https://evil.test", "Access-Control-Request-Method: GET"), status: unknown, stranger: true})
}

func targets() []evasion {
	other := func(line string) string { return bare(line, "Host: {{elsewhere}}", "X-API-Key: {{key}}") }
	return append(slices.Concat(
		each("absolute", slices.Concat(unknown, nowhere), "", "GET http://{{elsewhere}}/v1/audit"),
		each("absolute", nowhere, "", "GET http://evil.test/v1/devices", "GET http://{{host}}", "GET http://{{host}}@evil.test/v1/devices",
			"GET http://{{host}}?/v1/devices"),
		each("absolute", scoped, "", "GET http://{{host}}/v1/devices/../audit", "GET https://{{host}}/v1/devices"),
		each("absolute", broken, "", "GET http://{{host}}/v1/audit#/v1/devices", `GET http:\\{{elsewhere}}\v1\devices`, "GET file:///v1/devices", "GET http:///v1/devices"),
		each("no path", broken, "", "GET v1/devices", "GET {{host}}:80", "GET ", "GET", "GET *")),
		evasion{name: "absolute, our host over another", raw: other("GET http://{{host}}/v1/audit"), status: scoped},
		evasion{name: "absolute, our host and path over another", raw: other("GET http://{{host}}/v1/devices"), status: passes, reaches: "GET /v1/devices"})
}

func hosts() (all []evasion) {
	add := func(status []int, reaches string, hosts ...string) {
		for _, h := range hosts {
			all = append(all, evasion{name: "host " + h, raw: bare("GET /v1/devices", "Host: "+h, "X-API-Key: {{key}}"), status: status, reaches: reaches})
		}
	}
	add(passes, "GET /v1/devices", "API.VaultWares.LOCALHOST", "{{host}}.", "{{host}}:1", "{{host}}.:65536")
	add(slices.Concat(unknown, nowhere), "", "{{elsewhere}}")
	add(nowhere, "", "evil.test", "127.0.0.1", "x.{{host}}", "{{host}}.evil.test", "auth.vaultwares.localhost", "user@{{host}}", "{{host}}@evil.test",
		"api%2evaultwares.localhost", "{{host}}\r\nHost: {{elsewhere}}", "{{elsewhere}}\r\nHost: {{host}}", "{{host}}\r\nHost: {{host}}", "")
	add(broken, "", "{{host}}/v1/audit?", "{{host}} evil.test", "{{host}}, {{elsewhere}}", "api.vaultware\u017f.localhost")
	return append(all, evasion{name: "no host", raw: bare("GET /v1/devices", "X-API-Key: {{key}}"), status: broken})
}

// overrides are headers that some servers take their method, path or host from.
// The gate judges the request line alone, and they reach the upstream as they are.
func overrides() (all []evasion) {
	for _, line := range []string{
		"X-HTTP-Method-Override: ", "X-HTTP-Method: ", "X-Method-Override: ", "X-Original-Method: ", "X-Forwarded-Method: ",
	} {
		all = append(all,
			evasion{name: line + "DELETE", raw: ask("GET /v1/devices/7", line+"DELETE"), status: passes, reaches: "GET /v1/devices/7"},
			evasion{name: line + "GET", raw: ask("DELETE /v1/devices/7", line+"GET"), status: scoped})
	}
	for _, line := range []string{
		"X-Original-URL: ", "X-Original-URI: ", "X-Rewrite-URL: ", "X-Forwarded-Uri: ", "X-Forwarded-Path: ",
		"X-Envoy-Original-Path: ", "X-Envoy-Original-Url: ", "X-Forwarded-Prefix: ", "X-Script-Name: ",
	} {
		all = append(all,
			evasion{name: line + "another path", raw: ask("GET /v1/devices", line+"/v1/audit"), status: passes, reaches: "GET /v1/devices"},
			evasion{name: line + "the listed path", raw: ask("GET /v1/audit", line+"/v1/devices"), status: scoped})
	}
	for _, line := range []string{
		"X-Forwarded-Host: {{elsewhere}}", "X-Host: {{elsewhere}}", "X-Original-Host: {{elsewhere}}", "Forwarded: host={{elsewhere}};proto=https",
		"X-Forwarded-Server: {{elsewhere}}", "X-Forwarded-Proto: https", "X-Forwarded-Port: 443", "X-Envoy-Internal: true",
	} {
		all = append(all, evasion{name: line, raw: ask("GET /v1/devices", line), status: passes, reaches: "GET /v1/devices"})
	}
	for _, line := range []string{":path: /v1/audit", ":method: DELETE", ":authority: {{elsewhere}}", ":scheme: https"} {
		all = append(all, evasion{name: "pseudo-header " + line, raw: ask("GET /v1/devices", line), status: broken})
	}
	return all
}

func credentials() (all []evasion) {
	for _, c := range [][]string{
		{"no key"},
		{"key twice", "X-API-Key: {{key}}", "X-API-Key: {{key}}"},
		{"keys, two in one header", "X-API-Key: {{key}}", "X-API-Key: {{other}}"},
		{"keys, two in two headers", "X-API-Key: {{key}}", "Authorization: Bearer {{other}}"},
		{"keys joined by a comma", "X-API-Key: {{key}}, {{key}}"},
		{"key and an empty line", "X-API-Key: {{key}}", "X-API-Key:"},
		{"key beside an empty one", "X-API-Key:", "Authorization: Bearer {{key}}"},
		{"key beside another scheme", "X-API-Key: {{key}}", "Authorization: Basic e30="},
		{"key with trailing bytes", "X-API-Key: {{key}}x"},
		{"key with trailing words", "X-API-Key: {{key}} x"},
		{"key with an encoded NUL", "X-API-Key: {{key}}%00"},
		{"key with a byte that is no text", "X-API-Key: {{key}}\xff"},
		{"key with a space that is none", "X-API-Key: {{key}}\u00a0"},
		{"key in quotes", `X-API-Key: "{{key}}"`},
		{"key with a scheme", "X-API-Key: Bearer {{key}}"},
		{"key without its scheme", "Authorization: {{key}}"},
		{"scheme without a space", "Authorization: Bearer{{key}}"},
		{"scheme with a tab", "Authorization: Bearer\t{{key}}"},
		{"scheme with a colon", "Authorization: Bearer: {{key}}"},
		{"scheme twice", "Authorization: Bearer Bearer {{key}}"},
		{"schemes joined by a comma", "Authorization: Bearer {{key}}, Basic e30="},
		{"scheme of another place", "Authorization: ApiKey {{key}}"},
		{"key for the proxy", "Proxy-Authorization: Bearer {{key}}"},
		{"key with underscores", "X_API_Key: {{key}}"},
		{"key in a header that is not read", "Api-Key: {{key}}"},
		{"key in a cookie", "Cookie: X-API-Key={{key}}; Authorization=Bearer {{key}}"},
		{"key of the upstream's own headers", "X-Sallyport-Credential: {{key}}", "X-Sallyport-Scopes: admin", "X-Sallyport-Tenant: org_custom"},
	} {
		all = append(all, evasion{name: c[0], raw: bare("GET /v1/devices", append([]string{"Host: {{host}}"}, c[1:]...)...), status: unknown, stranger: true})
	}
	either := slices.Concat(passes, unknown)
	at := func(lines ...string) string {
		return bare("GET /v1/devices", append([]string{"Host: {{host}}"}, lines...)...)
	}
	return append(all,
		evasion{name: "key with a NUL", raw: at("X-API-Key: {{key}}\x00"), status: broken, stranger: true},
		evasion{name: "key in the query", raw: bare("GET /v1/devices?api_key={{key}}", "Host: {{host}}"), status: unknown, stranger: true},
		evasion{name: "key in the query too", raw: ask("GET /v1/devices?api_key={{key}}"), status: unknown, stranger: true},
		evasion{name: "key in the path too", raw: ask("GET /v1/devices/{{key}}"), status: unknown, stranger: true},
		evasion{name: "key in the userinfo", raw: bare("GET http://{{key}}:@{{host}}/v1/devices", "Host: {{host}}"), status: slices.Concat(unknown, nowhere), stranger: true},
		evasion{name: "key among spaces and tabs", raw: at("X-API-Key:\t {{key}} \t"), status: passes, reaches: "GET /v1/devices"},
		evasion{name: "case of a scheme", raw: at("Authorization: bEaReR   {{key}}"), status: passes, reaches: "GET /v1/devices"},
		evasion{name: "key in both places", raw: ask("GET /v1/devices", "Authorization: Bearer {{key}}"), status: passes, reaches: "GET /v1/devices"},
		evasion{name: "key in a cookie too", raw: ask("GET /v1/devices", "Cookie: k={{key}}"), status: either, reaches: "GET /v1/devices"},
		evasion{name: "key in another header too", raw: ask("GET /v1/devices", "X-Token: {{key}}"), status: either, reaches: "GET /v1/devices"},
		evasion{name: "key for the proxy too", raw: ask("GET /v1/devices", "Proxy-Authorization: Bearer {{key}}"), status: either, reaches: "GET /v1/devices"},
		evasion{name: "key with underscores too", raw: ask("GET /v1/devices", "X_API_Key: {{key}}"), status: passes, reaches: "GET /v1/devices"},
		evasion{name: "key in the query too, encoded", raw: ask("GET /v1/devices?k=%76{{key:1}}"), status: either, reaches: "GET /v1/devices?k=%76{{key:1}}"},
	)
}

func identities() (all []evasion) {
	for _, lines := range [][]string{
		{"X-Sallyport-Tenant: evil"},
		{"X-SALLYPORT-SCOPES: evil", "x-sallyport-scopes: evil"},
		{"x_sallyport_tenant: evil", "X-Sallyport_Plan: evil", "X_Sallyport-Principal: evil"},
		{"X-Sallyport-Sid: evil", "X-Sallyport-Request-Id: evil", "X-Sallyport-Environment: evil"},
		{"X-Sallyport-Anything: evil", "X-Sallyport-: evil", "x-sallyport-proof: evil"},
		{"Connection: X-Sallyport-Tenant, X-Sallyport-Scopes"},
		{"Connection: keep-alive, x-sallyport-sid, x-sallyport-credential", "X-Sallyport-Credential: evil"},
		{"Connection: x-request-id", "Keep-Alive: x-sallyport-tenant", "Proxy-Connection: x-sallyport-tenant"},
		{"TE: trailers, x-sallyport-tenant", "Trailer: X-Sallyport-Tenant"},
		{"Cookie: x-sallyport-tenant=1", "Via: 1.1 x-sallyport-tenant"},
	} {
		all = append(all, evasion{name: strings.Join(lines, ", "), raw: ask("GET /v1/devices", lines...), status: passes, reaches: "GET /v1/devices"})
	}
	return append(all,
		evasion{name: "hop by hop: the key itself", raw: ask("GET /v1/devices", "Connection: x-api-key"), status: unknown},
		evasion{name: "hop by hop: the other key", raw: ask("GET /v1/devices", "Authorization: Bearer {{other}}", "Connection: authorization"),
			status: passes, reaches: "GET /v1/devices"},
		evasion{name: "hop by hop: the path", raw: ask("GET /v1/devices", "Connection: :path"), status: broken},
		evasion{name: "hop by hop: the host", raw: ask("GET /v1/devices", "Connection: host"), status: broken},
		evasion{name: "space after a name", raw: ask("GET /v1/devices", "X-Sallyport-Tenant : evil"), status: broken},
		evasion{name: "space in a name", raw: ask("GET /v1/devices", "X Sallyport-Tenant: evil"), status: broken},
		evasion{name: "NUL in a name", raw: ask("GET /v1/devices", "X-Sallyport-Tenant\x00: evil"), status: broken},
		evasion{name: "letter that folds in a name", raw: ask("GET /v1/devices", "X-\u017fallyport-Tenant: evil"), status: broken},
	)
}

// addresses come with a key that is for another address than the caller's.
func addresses() (all []evasion) {
	for _, line := range []string{
		"X-Forwarded-For: 203.0.113.7", "X-Forwarded-For: 203.0.113.7, 203.0.113.7", "X-Real-IP: 203.0.113.7", "Forwarded: for=203.0.113.7",
		"X-Envoy-External-Address: 203.0.113.7", "True-Client-IP: 203.0.113.7", "X-Client-IP: 203.0.113.7", "X-Envoy-Internal: true",
	} {
		all = append(all, evasion{name: "address by " + line, raw: bare("GET /v1/devices", "Host: {{host}}", "X-API-Key: {{boxed}}", line), status: scoped, stranger: true})
	}
	return append(all, evasion{name: "address by the PROXY protocol", status: broken, stranger: true,
		raw: "PROXY TCP4 203.0.113.7 127.0.0.1 1 80\r\n" + bare("GET /v1/devices", "Host: {{host}}", "X-API-Key: {{boxed}}")})
}

// lines play with where lines and words end.
func lines() []evasion {
	head := func(first string) string {
		return first + "\r\nHost: {{host}}\r\nX-API-Key: {{key}}\r\nConnection: close\r\n\r\n"
	}
	return []evasion{
		{name: "two spaces", raw: head("GET  /v1/devices HTTP/1.1"), status: passes, reaches: "GET /v1/devices"},
		{name: "two versions", raw: head("GET /v1/devices HTTP/1.1 HTTP/1.1"), status: broken},
		{name: "two targets", raw: head("GET /v1/devices /v1/audit HTTP/1.1"), status: broken},
		{name: "tabs for spaces", raw: head("GET\t/v1/devices\tHTTP/1.1"), status: passes, reaches: "GET /v1/devices"},
		{name: "form feed for a space", raw: head("GET\f/v1/devices HTTP/1.1"), status: broken},
		{name: "space before the method", raw: head(" GET /v1/devices HTTP/1.1"), status: broken},
		{name: "empty lines before it", raw: "\r\n\r\n" + ask("GET /v1/devices"), status: passes, reaches: "GET /v1/devices"},
		{name: "carriage return in the target", raw: head("GET /v1/devices\r/v1/audit HTTP/1.1"), status: broken},
		{name: "version 0.9", raw: "GET /v1/devices\r\n\r\n", status: []int{426}, stranger: true},
		{name: "version 1.0", raw: head("GET /v1/devices HTTP/1.0"), status: []int{426}},
		{name: "version 1.2", raw: head("GET /v1/devices HTTP/1.2"), status: []int{426}},
		{name: "version 2", raw: head("GET /v1/devices HTTP/2.0"), status: []int{426}},
		{name: "version in small letters", raw: head("GET /v1/devices http/1.1"), status: broken},
		{name: "bare line feeds", raw: strings.ReplaceAll(ask("GET /v1/devices"), "\r\n", "\n"), status: passes, reaches: "GET /v1/devices"},
		{name: "bare line feed, then ours", raw: ask("GET /v1/devices", "X-A: b\nX-Sallyport-Tenant: evil"), status: passes, reaches: "GET /v1/devices"},
		{name: "bare carriage return", raw: ask("GET /v1/devices", "X-A: b\rX-Sallyport-Tenant: evil"), status: passes, reaches: "GET /v1/devices"},
		{name: "carriage return in a name", raw: ask("GET /v1/devices", "X-Sally\rport-Tenant: evil"), status: broken},
		{name: "carriage return after a name", raw: ask("GET /v1/devices", "X-Sallyport-Tenant\r: evil"), status: broken},
		{name: "carriage return in the host", raw: bare("GET /v1/devices", "Host: api.\rvaultwares.localhost", "X-API-Key: {{key}}"), status: passes, reaches: "GET /v1/devices"},
		{name: "folded line", raw: ask("GET /v1/devices", "X-A: b\r\n X-Sallyport-Tenant: evil"), status: passes, reaches: "GET /v1/devices"},
		{name: "folded key", raw: bare("GET /v1/devices", "Host: {{host}}", "X-API-Key:\r\n {{key}}"), status: passes, reaches: "GET /v1/devices"},
		{name: "folded first line", raw: "GET /v1/devices HTTP/1.1\r\n Host: {{elsewhere}}\r\nHost: {{host}}\r\nX-API-Key: {{key}}\r\nConnection: close\r\n\r\n", status: broken},
		{name: "header without a colon", raw: ask("GET /v1/devices", "X-Sallyport-Tenant"), status: broken},
		{name: "header without a name", raw: ask("GET /v1/devices", ": evil"), status: broken},
		{name: "NUL in a value", raw: ask("GET /v1/devices", "X-A: a\x00b"), status: broken},
		{name: "too many headers", raw: ask("GET /v1/devices", slices.Repeat([]string{"X-A: b"}, 120)...), status: large},
		{name: "expectation", raw: ask("GET /v1/devices", "Expect: evil"), status: []int{417}, reaches: "GET /v1/devices"},
	}
}

// framings carry a second request that a server sees which takes the body of
// the first for shorter than the gate does, or for longer.
func framings() (all []evasion) {
	second := ask("DELETE /v1/devices/7")
	add := func(kind string, body string, status []int, lines ...string) {
		for _, l := range lines {
			all = append(all, evasion{name: fmt.Sprintf("%s: %.60q", kind, l), raw: ask("GET /v1/devices", strings.Split(l, "|")...) + body,
				status: status, reaches: "GET /v1/devices"})
		}
	}
	whole := fmt.Sprintf("Content-Length: %d", len("0\r\n\r\n")+len(second)-len("{{key}}{{host}}")+len(vaultwaresHost)+keyLength)
	chunked := "0\r\n\r\n" + second
	add("body that is a request", chunked, passes, whole, whole+"|Transfer_Encoding: chunked", whole+"|X-A: b\rTransfer-Encoding: chunked")
	add("two framings", chunked, broken, whole+"|Transfer-Encoding: chunked", "Transfer-Encoding: chunked|"+whole, whole+"|Transfer-Encoding: identity",
		whole+"|Transfer-Encoding: xchunked", whole+"|Transfer-Encoding : chunked", whole+"|Transfer-Encoding:\vchunked", whole+"|X-A: b\nTransfer-Encoding: chunked",
		whole+"|Transfer-Encoding:\r\n chunked", whole+"|Transfer-Encoding: chun\rked", whole+"|Transfer-Enco\rding: chunked")
	add("coding", chunked, passes, "Transfer-Encoding:\tchunked", "Transfer-Encoding: CHUNKED")
	add("odd coding", chunked, []int{501}, "Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity, chunked", "Transfer-Encoding: chunked, chunked",
		"Transfer-Encoding: chunked|Transfer-Encoding: identity", "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: \"chunked\"")
	add("length", "hello"+second, passes, "Content-Length: 05", "Content_Length: 5")
	add("odd length", "hello"+second, broken, "Content-Length: 5|Content-Length: 5", "Content-Length: 5|Content-Length: 0", "Content-Length: 5, 5", "Content-Length: 5, 0",
		"Content-Length: +5", "Content-Length: -5", "Content-Length: 0x5", "Content-Length: 5 0", "Content-Length: 5e0", "Content-Length:", "Content-Length: 5\r0",
		"Content-Length: 18446744073709551621", "Content-Length: 5\v")
	for _, body := range []string{"5;ext=1\r\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "00005\r\nhello\r\n0\r\n\r\n",
		"0\r\nX-Sallyport-Tenant: evil\r\nX-API-Key: {{key}}\r\n\r\n"} {
		add(fmt.Sprintf("chunk %q", body), body+second, passes, "Transfer-Encoding: chunked")
	}
	for _, body := range []string{
		"5;a\nb\r\nhello\r\n0\r\n\r\n", "5\nhello\n0\n\n", "0x5\r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n",
		"5\r\nhelloXX0\r\n\r\n", "5\rhello\r\n0\r\n\r\n", "10000000000000005\r\nhello\r\n0\r\n\r\n", "\r\n5\r\nhello\r\n0\r\n\r\n", "0\nX-A: b\n\n",
	} {
		add(fmt.Sprintf("odd chunk %q", body), body+second, broken, "Transfer-Encoding: chunked")
	}
	open := strings.Replace(ask("GET /v1/devices"), "Connection: close\r\n", "", 1)
	return append(all,
		evasion{name: "second request on the connection", raw: open + second, status: slices.Concat(passes, scoped), reaches: "GET /v1/devices"},
		evasion{name: "second request without a key", raw: open + bare("GET /v1/devices/7", "Host: {{host}}"), status: slices.Concat(passes, unknown), reaches: "GET /v1/devices"},
		evasion{name: "second request, absolute", raw: open + ask("GET http://{{elsewhere}}/v1/devices"), status: slices.Concat(passes, unknown, nowhere), reaches: "GET /v1/devices"})
}

// keyLength is the length of a key of the prefix vw_live_.
const keyLength = len("vw_live_") + 38

func upgrades() (all []evasion) {
	add := func(status []int, reaches string, lines ...string) {
		all = append(all, evasion{name: strings.Join(lines, ", "), raw: ask("GET /v1/devices", lines...), status: status, reaches: reaches})
	}
	add(scoped, "", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
	add(scoped, "", "Connection: Upgrade", "Upgrade: TLS/1.0, HTTP/1.1")
	add(scoped, "", "Connection: Upgrade, X-API-Key", "Upgrade: evil")
	add(passes, "GET /v1/devices", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
	add(passes, "GET /v1/devices", "Upgrade: websocket")
	return all
}

const vaultwaresHost, elsewhere = "api.vaultwares.localhost", "api.cybervault.localhost"

// vaultwaresHosts are the hosts of the API, as it may be called by.
var vaultwaresHosts = []string{"api.vaultwares.com", vaultwaresHost}

// mayDo reports whether target is literally what devices:read allows.
func mayDo(method, target string) bool {
	path, _, _ := strings.Cut(target, "?")
	id, under := strings.CutPrefix(path, "/v1/devices/")
	return (method == "GET" || method == "HEAD") && (path == "/v1/devices" || under && isSegment(id))
}

// isSegment reports whether every server reads s as one segment of a path: it
// has no byte that ends or changes one, none that needs no encoding is encoded,
// and what is encoded is text.
func isSegment(s string) bool {
	const unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	text, err := url.PathUnescape(s)
	if err != nil || text == "" || text == "." || text == ".." || !utf8.ValidString(text) || strings.ContainsAny(text, `/\%;?#`) ||
		strings.ContainsFunc(text, unicode.IsControl) {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			if one, _ := url.PathUnescape(s[i : i+3]); strings.Contains(unreserved, one) {
				return false
			}
			i += 2
		} else if !strings.Contains(unreserved+"!$&'()*+,=:@", s[i:i+1]) {
			return false
		}
	}
	return true
}
