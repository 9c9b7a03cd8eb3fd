package render

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

var sample = Vars{
	Code: "rate_limited", Message: `say "no"`, Type: "quota", RequestID: "req_1", API: "orders", Tenant: "acme",
	Credential: "key_1", Principal: "user_1", Plan: "free", Environment: "live", MissingScope: "orders:read",
	Operation: "GET /v1/orders", Decision: "00ff", Scopes: []string{"orders:read", "a\"b"},
	Now: time.Date(2026, 3, 1, 12, 0, 0, 5, time.FixedZone("", 3600)), RetryAfter: 17, Limit: 60, Remaining: 3, Reset: 1767225600,
}

func TestJSONTemplateRenders(t *testing.T) {
	tests := []struct{ template, want string }{
		{`{}`, `{}`},
		{`"${code}"`, `"rate_limited"`},
		{`{"a": "${code}", "b": [1, null, true, 1.50]}`, `{"a":"rate_limited","b":[1,null,true,1.50]}`},
		{`{"a": "x${tenant}y${plan}z"}`, `{"a":"xacmeyfreez"}`},
		{`{"a": "${message}"}`, `{"a":"say \"no\""}`},
		{`{"a": "${retry_after}", "b": "${retry_after:int}"}`, `{"a":"17","b":17}`},
		{`{"a": "${limit:int}", "b": "${remaining:int}", "c": "${reset:int}"}`, `{"a":60,"b":3,"c":1767225600}`},
		{`{"a": "${scopes}", "b": "${scopes:list}"}`, `{"a":"orders:read a\"b","b":["orders:read","a\"b"]}`},
		{`{"a": "${now}", "b": "${expires_at}"}`, `{"a":"2026-03-01T11:00:00Z","b":""}`},
		{`{"a": "${now:null}", "b": "${expires_at:null}"}`, `{"a":"2026-03-01T11:00:00Z","b":null}`},
		{`{"a": "${tenant:null}", "b": "${reset:null}"}`, `{"a":"acme","b":"1767225600"}`},
		{`{"a": "$${code} costs $5 $"}`, `{"a":"${code} costs $5 $"}`},
		{`{"a": "$$${code}"}`, `{"a":"$${code}"}`},
		{`{"a\"b": "\u0041\n\ud800"}`, `{"a\"b":"A\n` + "\uFFFD" + `"}`},
		{"{\"a\": \"\xff\"}", `{"a":"` + "\uFFFD" + `"}`},
		{`{"a": {"b": ["${code}", "${code}"]}}`, `{"a":{"b":["rate_limited","rate_limited"]}}`},
	}
	for _, tt := range tests {
		tmpl, err := Compile(tt.template)
		if err != nil {
			t.Errorf("Compile(%s): %v", tt.template, err)
			continue
		}
		if got := string(tmpl.Append(nil, &sample)); got != tt.want {
			t.Errorf("%s renders\n got %s\nwant %s", tt.template, got, tt.want)
		}
	}
}

func TestTextTemplateRenders(t *testing.T) {
	tests := []struct{ template, want string }{
		{"", ""},
		{"Retry after ${retry_after} seconds.", "Retry after 17 seconds."},
		{"'${missing_scope}' \"quoted\"", "'orders:read' \"quoted\""},
		{"$${plan} is ${plan}", "${plan} is free"},
		{"bad \xff byte", "bad \uFFFD byte"},
	}
	for _, tt := range tests {
		tmpl, err := CompileText(tt.template)
		if err != nil {
			t.Errorf("CompileText(%q): %v", tt.template, err)
			continue
		}
		if got := string(tmpl.Append(nil, &sample)); got != tt.want {
			t.Errorf("%q renders %q, want %q", tt.template, got, tt.want)
		}
	}
}

func TestBrokenTemplatesAreNamed(t *testing.T) {
	tests := []struct{ template, want string }{
		{`{`, "not JSON"},
		{`{} {}`, "not JSON"},
		{`"${nope}"`, "unknown placeholder ${nope}; known are api, code,"},
		{`"${}"`, "unknown placeholder ${}"},
		{`"${code"`, "is not closed"},
		{`{"${code}": 1}`, `key "${code}" holds a placeholder`},
		{`"${code:int}"`, "int is for limit, remaining, reset, retry_after"},
		{`"${code:list}"`, "list is for scopes"},
		{`"${code:float}"`, "unknown form"},
		{`"${code:}"`, "unknown form"},
		{`"in ${retry_after:int} s"`, "stands beside other text"},
		{`"` + strings.Repeat("${"+strings.Repeat("x", 999), 9) + `"`, "is not closed"},
	}
	for _, tt := range tests {
		_, err := Compile(tt.template)
		var typed *Error
		if !errors.As(err, &typed) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Compile(%.60s): got %v, want an *Error with %q", tt.template, err, tt.want)
		}
	}
	for _, text := range []string{"${message}", "${retry_after:int}", "${x}", "${"} {
		if _, err := CompileText(text); err == nil {
			t.Errorf("CompileText(%q): got no error", text)
		}
	}
}

func TestPlaceholdersAreSortedAndAllKnown(t *testing.T) {
	all := Placeholders()
	if !slices.IsSorted(all) || len(all) != len(names) {
		t.Errorf("got %v", all)
	}
	for _, p := range all {
		if _, err := Compile(`"${` + p + `}"`); err != nil {
			t.Error(err)
		}
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	tmpl, err := Compile(`{"m": "${message}", "n": "${now}", "r": "${retry_after:int}", "s": "${scopes:list}", "e": "${expires_at:null}"}`)
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { tmpl.Append(dst, &sample) }); n != 0 {
		t.Errorf("Append allocates %v times, want 0", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	tmpl, err := Compile(`{"error": {"code": "${code}", "message": "${message}", "retry_after": "${retry_after:int}"}}`)
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		tmpl.Append(dst, &sample)
	}
}

// FuzzRenderedTemplateIsItsOwnTree holds the law: whatever the values, what is
// rendered decodes to the template's own tree with its strings filled in.
func FuzzRenderedTemplateIsItsOwnTree(f *testing.F) {
	f.Add(`{"a": "${code} x", "b": ["${retry_after:int}", "${scopes:list}", "${tenant:null}"], "c": "$${code}"}`, `"},{"`, "\xff\x00\n", "\u2028", int64(-5))
	f.Add(`"${message}"`, "\\", "\"", "${code}", int64(0))
	f.Add(`{"k": {"${": 1}}`, "", "", "", int64(1))
	f.Fuzz(func(t *testing.T, template, a, b, c string, n int64) {
		tmpl, err := Compile(template)
		if err != nil {
			return
		}
		v := &Vars{Code: a, Message: b, Type: c, RequestID: a, Tenant: b, Credential: c, Operation: a + b, MissingScope: c + a,
			Scopes: []string{a, b, c}, Now: time.Unix(n, 0), RetryAfter: n, Limit: uint64(n), Reset: n}
		if n%2 == 0 {
			v.Scopes, v.ExpiresAt = nil, time.Unix(n, 0)
		}
		out := tmpl.Append(nil, v)
		got, want := decode(t, out), fill(decode(t, []byte(template)), v)
		if g, w := encode(t, got), encode(t, want); g != w {
			t.Fatalf("%s renders %s\n got %s\nwant %s", template, out, g, w)
		}
	})
}

func decode(t *testing.T, text []byte) (v any) {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if d.More() {
		t.Fatalf("%q goes on behind its end", text)
	}
	return v
}

func encode(t *testing.T, v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fill is the naive renderer: it walks the decoded tree and replaces.
func fill(tree any, v *Vars) any {
	switch tree := tree.(type) {
	case map[string]any:
		for k := range tree {
			tree[k] = fill(tree[k], v)
		}
	case []any:
		for i := range tree {
			tree[i] = fill(tree[i], v)
		}
	case string:
		return fillString(tree, v)
	}
	return tree
}

func fillString(s string, v *Vars) any {
	for text, n := range names {
		switch s {
		case "${" + text + ":int}":
			return json.Number(v.appendNumber(nil, n))
		case "${" + text + ":list}":
			list := []any{}
			for _, s := range v.Scopes {
				list = append(list, string([]rune(s)))
			}
			return list
		case "${" + text + ":null}":
			if v.empty(n) {
				return nil
			}
			return string([]rune(string(v.appendText(nil, n, false))))
		}
	}
	var pairs []string
	for text, n := range names {
		pairs = append(pairs, "${"+text+"}", string([]rune(string(v.appendText(nil, n, false)))))
	}
	return strings.NewReplacer(append([]string{"$${", "${"}, pairs...)...).Replace(s)
}
