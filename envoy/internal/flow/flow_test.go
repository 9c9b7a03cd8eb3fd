package flow

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// FuzzMapping: what Mapping accepts is a JSON object, and YAML reads
// from it what JSON reads from the original, on one line.
func FuzzMapping(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":{"b":[1,true,null,"x"]}}`, `{"a":"\u0000\u007f\u0085\u2028\ufeff\ud83d\ude00 : # {% \" '"}`, `{"":-1.5e3}`,
		`[]`, `{"a":1} x`, `{"a":`, "", strings.Repeat(`{"a":`, 99), `{"<<":{"a":1}}`, "{\"a\":\"\xff\"}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		line, err := Mapping(text)
		if err != nil {
			return
		}
		var want, got map[string]any
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("accepted what is not JSON: %v", err)
		}
		if strings.ContainsAny(line, "\r\n") {
			t.Fatalf("more than one line: %q", line)
		}
		if strings.Contains(text, "<<") || len(want) == 0 {
			return // YAML's merge key is Envoy's to refuse; keys that repeat are too
		}
		if err := yaml.Unmarshal([]byte(line), &got); err != nil {
			if strings.Contains(err.Error(), "already defined") {
				return
			}
			t.Fatalf("%q: %v", line, err)
		}
		if diff := cmp.Diff(shape(want), shape(got)); diff != "" {
			t.Errorf("%q: %s", line, diff)
		}
	})
}

// shape is v as JSON with its numbers left out: YAML has more kinds of them.
func shape(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = shape(e)
		}
	case []any:
		for i, e := range v {
			v[i] = shape(e)
		}
	case int, int64, uint64, float64:
		return 0
	}
	return v
}
