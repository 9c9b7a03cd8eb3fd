package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport"
)

// fieldNames are the names that an API's own endpoint has for a key's fields, by
// ours.
type fieldNames map[string]string

// ownNames are the names where an API has none of its own.
var ownNames = fieldNames{"id": "id", "secret": "key", "label": "name", "scopes": "scopes", "expires": "expires_at", "addresses": "allowed_ips"}

// given are the fields that a caller may send.
var given = []string{"label", "scopes", "expires", "addresses"}

func newFieldNames(of map[string]string) fieldNames {
	w := make(fieldNames, len(sallyport.KeyFields))
	for _, field := range sallyport.KeyFields {
		w[field] = cmp.Or(of[field], ownNames[field])
	}
	return w
}

// object is a JSON object whose members keep their order.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in their order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		for j, part := range []any{m.name, m.value} {
			if j > 0 {
				b.WriteByte(':')
			}
			text, err := json.Marshal(part)
			if err != nil {
				return nil, err
			}
			b.Write(text)
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// key shows k in the API's words; secret is shown where there is one.
func (w fieldNames) key(k Key, secret Shown) object {
	o := object{}
	if secret != "" {
		o = append(o, member{w["secret"], secret.Reveal()})
	}
	return append(o,
		member{w["id"], k.KeyID}, member{w["label"], k.Name}, member{w["scopes"], k.Scopes},
		member{w["expires"], k.ExpiresAt}, member{w["addresses"], k.AllowedIPs},
		member{"masked", k.Masked}, member{"state", k.State}, member{"created_at", k.CreatedAt})
}

// fields is a JSON object as it was sent, by its own names.
type fields map[string]json.RawMessage

// read reads the body: one JSON object of fields that a caller may send,
// whatever its Content-Type says. Where it is none, it answers and returns
// false.
func (v *keysVisit) read() (fields, bool) {
	var large *http.MaxBytesError
	switch {
	case errors.As(v.broken, &large):
		v.refuse(sallyport.KindTooLarge, "", "")
		return nil, false
	case v.broken != nil:
		v.refuse(sallyport.KindBadRequest, "The body could not be read.", "")
		return nil, false
	}
	in, err := readObject(v.body)
	if err != nil {
		v.refuse(sallyport.KindBadRequest, "The body is not a JSON object: "+err.Error()+".", "")
		return nil, false
	}
	var f faults
	for name := range in {
		if !v.names.mayBeSent(name) {
			f.at(hideWords(name), "is not a field; %s", list(v.names.sent()))
		}
	}
	slices.SortFunc(f, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return in, v.clean(f)
}

func (w fieldNames) sent() (names []string) {
	for _, field := range given {
		names = append(names, w[field])
	}
	return names
}

func (w fieldNames) mayBeSent(name string) bool { return slices.Contains(w.sent(), name) }

var (
	errNotObject = errors.New("it begins with something else")
	errTwice     = errors.New("a field stands in it twice")
	errMore      = errors.New("something follows it")
)

// readObject reads one JSON object and nothing behind it. A name that stands in
// it twice is refused: readers differ in which of the two they take.
func readObject(text []byte) (fields, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	open, err := d.Token()
	if err != nil {
		return nil, notJSON(err)
	}
	if open != json.Delim('{') {
		return nil, errNotObject
	}
	in := fields{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, notJSON(err)
		}
		key := name.(string) // inside an object the decoder lets nothing else stand here
		if _, twice := in[key]; twice {
			return nil, errTwice
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, notJSON(err)
		}
		in[key] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, notJSON(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errMore
	}
	return in, nil
}

// notJSON says what is wrong without repeating what was sent.
func notJSON(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return errors.New("it is broken")
	}
	return errors.New("it ends too early")
}

// text reads a field that is text; null and absent leave it empty.
func (w fieldNames) text(f *faults, in fields, field string, to *string) {
	var o Optional[string]
	w.optionalText(f, in, field, &o)
	*to = value(o)
}

// list reads a field that is a list of texts; null and absent leave it empty.
func (w fieldNames) list(f *faults, in fields, field string, to *[]string) {
	var o Optional[[]string]
	w.optionalList(f, in, field, &o)
	*to = value(o)
}

func (w fieldNames) optionalText(f *faults, in fields, field string, to *Optional[string]) {
	if raw, sent := in[w[field]]; sent && to.UnmarshalJSON(raw) != nil {
		f.at(w[field], "is not text")
	}
}

func (w fieldNames) optionalList(f *faults, in fields, field string, to *Optional[[]string]) {
	const most = 256
	raw, sent := in[w[field]]
	switch {
	case !sent:
	case to.UnmarshalJSON(raw) != nil:
		f.at(w[field], "is not a list of texts")
	case len(value(*to)) > most:
		f.at(w[field], "holds more than %d", most)
	}
}

// message says in the API's words what is wrong.
func (w fieldNames) message(model *huma.ErrorModel) string {
	var all []string
	for _, detail := range model.Errors {
		at, ours := strings.CutPrefix(detail.Location, "body.") // else in the API's words already
		name, index, _ := strings.Cut(strings.TrimPrefix(at, "query."), "[")
		for _, field := range []struct{ admin, ours string }{
			{"name", "label"}, {"scopes", "scopes"}, {"expires_at", "expires"}, {"allowed_ips", "addresses"},
		} {
			if ours && name == field.admin {
				name = w[field.ours]
				break
			}
		}
		if index != "" {
			name += "[" + index
		}
		all = append(all, name+": "+detail.Message)
	}
	if len(all) == 0 {
		return model.Detail
	}
	return strings.Join(all, "; ")
}

// writeJSON writes v as the answer.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The caller may have gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(v)
}
