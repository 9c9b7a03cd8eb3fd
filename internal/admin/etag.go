package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// answer is what an operation returns.
type answer[T any] struct{ Body T }

// tagged is an answer about one object: with the tag of what the object is
// shown as.
type tagged[T any] struct {
	ETag string `header:"ETag"`
	Body T
}

// tag returns the strong entity tag (RFC 9110 §8.8.3) of shown.
func tag(shown any) string {
	text, err := json.Marshal(shown)
	if err != nil {
		// Not from input: what is shown is texts, times and maps of them.
		panic(fmt.Sprintf("admin: %T cannot be shown: %v", shown, err))
	}
	sum := sha256.Sum256(text)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}

// ifMatch returns the answer to a change whose caller has seen something else
// than shown: header lists what they have seen, "" is not asked.
func ifMatch(header string, shown any) error {
	if header == "" || lists(header, tag(shown)) {
		return nil
	}
	return huma.Error412PreconditionFailed("it has changed since it was read; read it again")
}

// show answers with shown, or with 304 where the caller has it already.
func show[T any](ifNoneMatch string, shown T) (*tagged[T], error) {
	now := tag(shown)
	if lists(strings.ReplaceAll(ifNoneMatch, "W/", ""), now) {
		return nil, huma.ErrorWithHeaders(huma.Status304NotModified(), map[string][]string{"ETag": {now}})
	}
	return &tagged[T]{now, shown}, nil
}

// lists reports whether header, of the form of If-Match, names tag or "*".
func lists(header, tag string) bool {
	for one := range strings.SplitSeq(header, ",") {
		if one = strings.TrimSpace(one); one == tag || one == "*" {
			return true
		}
	}
	return false
}
