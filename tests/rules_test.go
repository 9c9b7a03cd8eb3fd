package tests

import (
	"slices"
	"strings"
	"testing"
)

// A rule that cannot fail holds nothing: each is shown what it is there for,
// and something beside it that is right.
var broken = map[string][]struct {
	name, text string
	want       string // of the fault; empty: none
}{
	"imports point down": {
		{"ratelimit/a.go", "package ratelimit\nimport _ \"" + module + "/extauthz\"\n", "ratelimit/a.go:2: ratelimit may not import extauthz"},
		{"internal/render/a.go", "package render\nimport _ \"" + module + "/internal/pattern\"\n", "internal/render may not import internal/pattern"},
		{"internal/app/a.go", "package app\nimport _ \"" + module + "/internal/demo\"\n", "internal/app may not import internal/demo"},
		{"a.go", "package sallyport\nimport _ \"" + module + "/internal/render\"\n", ". may not import internal/render"},
		{"extauthz/a.go", "package extauthz\nimport _ \"" + module + "/internal/testenv\"\n", "extauthz may not import internal/testenv"},
		{"attic/a.go", "package attic\n", "folder attic has no place"},
		{"internal/attic/a.go", "package attic\n", "folder internal/attic has no place"},
		{"internal/store/sqlite/a.go", "package sqlite\nimport _ \"" + module + "/internal/store\"\n", ""},
		{"extauthz/a_test.go", "package extauthz\nimport _ \"" + module + "/ratelimit\"\n", ""},
		{"cmd/sallyport/a.go", "package main\nimport _ \"" + module + "/internal/render\"\n", ""},
	},
	"the vocabulary is pure": {
		{"a.go", "package sallyport\nimport _ \"os\"\n", "a.go:2: the vocabulary may not import os"},
		{"a.go", "package sallyport\nimport _ \"log/slog\"\n", "may not import log/slog"},
		{"a.go", "package sallyport\nimport _ \"net/http\"\n", "may not import net/http"},
		{"a.go", "package sallyport\nimport _ \"github.com/a/b\"\n", "may not import github.com/a/b"},
		{"a.go", "package sallyport\nimport \"time\"\nvar t = time.Now()\n", "a.go:3: time.Now"},
		{"a.go", "package sallyport\nimport \"time\"\nvar f = time.Since\n", "time.Since"},
		{"internal/render/a.go", "package render\nimport \"time\"\nvar t = time.Now()\n", "time.Now"},
		{"a.go", "package sallyport\nimport (\n\"net/netip\"\n\"time\"\n)\nvar t time.Time\nvar a netip.Addr\n", ""},
		{"internal/app/a.go", "package app\nimport \"time\"\nvar t = time.Now()\n", ""},
	},
	"dependencies have homes": {
		{"internal/app/a.go", "package app\nimport _ \"github.com/danielgtaylor/huma/v2\"\n", "huma/v2 does not live in internal/app"},
		{"internal/store/a.go", "package store\nimport _ \"modernc.org/sqlite/lib\"\n", "sqlite/lib does not live in internal/store"},
		{"envoy/a.go", "package envoy\nimport _ \"github.com/envoyproxy/go-control-plane/envoy/type/v3\"\n", "does not live in envoy"},
		{"extauthz/a_test.go", "package extauthz\nimport _ \"example.com/new\"\n", "example.com/new does not live in extauthz"},
		{"envoy/a_test.go", "package envoy\nimport _ \"github.com/envoyproxy/go-control-plane/envoy/type/v3\"\n", ""},
		{"internal/admin/a.go", "package admin\nimport _ \"github.com/danielgtaylor/huma/v2/adapters/humago\"\n", ""},
		{"internal/pattern/a_test.go", "package pattern\nimport _ \"github.com/google/go-cmp/cmp\"\n", ""},
		{"tests/load/a.go", "package main\nimport _ \"example.com/rival\"\n", ""},
	},
	"packages are documented": {
		{"ratelimit/a.go", "package ratelimit\n", "ratelimit: no comment says"},
		{"ratelimit/a.go", "// Something else.\npackage ratelimit\n", "ratelimit: no comment says"},
		{"ratelimit/a_test.go", "// Package ratelimit is tested.\npackage ratelimit\n", "ratelimit: no comment says"},
		{"cmd/sallyport/a.go", "// Package main is the gate.\npackage main\n", "cmd/sallyport: no comment says"},
		{"ratelimit/a.go", "// Package ratelimit counts.\npackage ratelimit\n", ""},
		{"cmd/sallyport/a.go", "// Command sallyport is the gate.\npackage main\n", ""},
	},
	"examples are data": {
		{"extauthz/a.go", "package extauthz\n\nvar s = \"api.VaultWares.com\"\n", "extauthz/a.go:3: code names the example vaultwares"},
		{"extauthz/a_test.go", "package extauthz\n\nvar s = \"aiia_key\"\n", "extauthz/a_test.go:3: code names the example aiia"},
		{"tests/e2e/a_test.go", "package e2e\n\nvar s = \"vaultwares\"\n", ""},
	},
	"nothing is too long": {
		{"ratelimit/a.go", "package ratelimit\nfunc f() {" + strings.Repeat("\n", functionLines) + "}\n", "ratelimit/a.go:2: f has 81 lines"},
		{"ratelimit/a.go", "package ratelimit\n" + strings.Repeat("\n", fileLines), "ratelimit/a.go: 501 lines"},
		{"ratelimit/a.go", "package ratelimit\nfunc f() {" + strings.Repeat("\n", functionLines-1) + "}\n", ""},
		{"ratelimit/a_test.go", "package ratelimit\n" + strings.Repeat("\n", fileLines), ""},
	},
	"nothing is left for later": {
		{"ratelimit/a.go", "package ratelimit\n// TODO: tidy up\n", "ratelimit/a.go:2: a mark"},
		{"ratelimit/a_test.go", "package ratelimit\n/* FIXME */\n", "ratelimit/a_test.go:2: a mark"},
		{"ratelimit/a.go", "package ratelimit\n// A todo list is a list.\n", ""},
	},
	"promises are proved": {
		{"examples/orders/requests.http", "# " + without("G8") + "\n", "no test, script or request names G8"},
		{"tests/rooms_test.go", "package tests\n// " + without("") + "\n", "names G1"},
		{"ratelimit/a.go", "package ratelimit\n// " + without("") + "\n", "names G1"},
		{"tests/e2e/a_test.go", "package e2e\n// " + without("G1") + "\n", "names G1"},
		{"tests/e2e/a_test.go", "package e2e\n// " + without("") + "\n", ""},
	},
	"outside, only the helper": {
		{"tests/e2e/a_test.go", "package e2e\nimport _ \"" + module + "/internal/app\"\n", "may not import internal/app"},
		{"tests/e2e/a_test.go", "package e2e\nimport _ \"" + module + "\"\n", "may not import ."},
		{"tests/e2e/a_test.go", "package e2e\nimport _ \"" + module + "/internal/testenv\"\n", ""},
	},
	"helpers stay out of rooms": {
		{"internal/app/a.go", "package app\nimport _ \"" + module + "/internal/store/memory\"\n", "internal/store/memory is for tests"},
		{"extauthz/a.go", "package extauthz\nimport _ \"testing\"\n", "testing is for tests"},
		{"extauthz/a_test.go", "package extauthz\nimport _ \"testing\"\n", ""},
		{"internal/store/storetest/a.go", "package storetest\nimport _ \"testing\"\n", ""},
	},
	"every room has its sources": {
		{"a.go", "package sallyport\n", "internal/app has no source"},
	},
}

func TestRulesCanFail(t *testing.T) {
	for name, rule := range rules {
		cases := broken[name]
		if len(cases) == 0 || cases[0].want == "" {
			t.Errorf("%s: nothing shows that it can fail", name)
		}
		for _, c := range cases {
			got := strings.Join(rule(parse(t, map[string]string{c.name: c.text})), "\n")
			if !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("%s: for\n%s\n%s\ngot %q, want %q", name, c.name, c.text, got, c.want)
			}
		}
	}
}

// without is all that is claimed but line; G11 is not G1.
func without(line string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(served), func(s string) bool { return s == line }), " ")
}
