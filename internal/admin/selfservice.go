package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/visit"
)

// keysVisit is one request to an API's own endpoint for keys: by one of the
// tenant's credentials, in the API's own words and shapes. What it does, the
// operations of the admin API do, with a caller who reaches that tenant alone.
type keysVisit struct {
	*Handler
	*visit.Visit
	names  fieldNames
	holds  []string // what the caller may do
	prefix string   // of the caller's own key
	ofUser bool     // the caller acts for a user
	body   []byte
	broken error // why body is not whole
}

const (
	maxKeyBody   = 64 << 10
	maxListPages = 10 // of the store, for one of ours: a tenant may have many keys that are gone
)

// ServeKeys serves the endpoint sallyport.ServeKeys.
func (h *Handler) ServeKeys(v *visit.Visit) {
	k := &keysVisit{Handler: h, Visit: v, names: newFieldNames(v.Operation.Fields)}
	k.serve(strings.HasSuffix(v.Operation.Path, "}"))
}

// serve answers: about one key, or about all.
func (v *keysVisit) serve(one bool) {
	// The body comes first: who may take their time with it must not be judged
	// before it is there.
	body, err := io.ReadAll(http.MaxBytesReader(v.W, v.R.Body, maxKeyBody))
	v.body, v.broken = body, err
	by := caller{token: "credential " + v.Said.Credential, role: RoleOperator, api: v.Said.API, tenant: v.Said.Tenant}
	ctx := withCaller(v.R.Context(), by)
	c, err := v.key(ctx, v.Said.Credential)
	if err != nil {
		v.fail(v.problem(ctx, "find caller", "key", err))
		return
	}
	if c.State != sallyport.Active || c.Expired(v.now()) || c.Tenant.State != sallyport.Active || c.User != nil && c.User.State != sallyport.Active {
		v.refuse(sallyport.KindInvalidCredential, "", "") // it ended since Check
		return
	}
	by.credential = c
	ctx = withCaller(ctx, by)
	var memory []string
	v.holds, v.prefix, v.ofUser = v.API.Rights(&memory, c), c.Prefix, c.User != nil
	if v.Said.Scoped {
		v.holds = v.API.Narrow(v.holds, strings.Fields(v.Said.Scopes))
	}
	if !one {
		if v.R.Method == http.MethodPost {
			v.create(ctx)
		} else {
			v.list(ctx)
		}
		return
	}
	id, err := url.PathUnescape(path.Base(v.R.URL.EscapedPath()))
	if err == nil {
		err = v.own(ctx, id)
	}
	switch {
	case err != nil:
		v.fail(err)
	case v.R.Method == http.MethodPatch:
		v.change(ctx, id)
	case v.R.Method == http.MethodDelete:
		v.delete(ctx, id)
	default:
		v.show(ctx, id)
	}
}

// own refuses what is no key of the tenant's: one that is deleted is none.
func (v *keysVisit) own(ctx context.Context, id string) error {
	c, err := v.key(ctx, id)
	switch {
	case err != nil:
		return v.problem(ctx, "find key", "key", err)
	case c.State == sallyport.Revoked || c.Kind != sallyport.KindKey:
		return huma.Error404NotFound("no such key")
	}
	return nil
}

func (v *keysVisit) create(ctx context.Context) {
	if v.ofUser { // the key would stay when the user goes
		v.refuse(sallyport.KindForbidden, "", "")
		return
	}
	in := NewKey{API: v.Said.API, Tenant: v.Said.Tenant}
	if form := v.API.KeyForm(v.prefix); form != nil && kindOf(form) == sallyport.KindKey {
		in.Prefix = v.prefix // a key for the test environment makes such keys
	}
	fields, ok := v.read()
	if !ok {
		return
	}
	var f faults
	v.names.text(&f, fields, "label", &in.Name)
	v.names.list(&f, fields, "scopes", &in.Scopes)
	v.names.text(&f, fields, "expires", &in.ExpiresAt)
	v.names.list(&f, fields, "addresses", &in.AllowedIPs)
	if !v.clean(f) || !v.mayGrant(in.Scopes) {
		return
	}
	made, err := v.createKey(ctx, &struct{ Body NewKey }{in})
	if err != nil {
		v.fail(err)
		return
	}
	writeJSON(v.W, http.StatusCreated, v.names.key(made.Body.Key, made.Body.Secret))
}

func (v *keysVisit) change(ctx context.Context, id string) {
	fields, ok := v.read()
	if !ok {
		return
	}
	var in KeyChange
	var f faults
	v.names.optionalText(&f, fields, "label", &in.Name)
	v.names.optionalList(&f, fields, "scopes", &in.Scopes)
	v.names.optionalText(&f, fields, "expires", &in.ExpiresAt)
	v.names.optionalList(&f, fields, "addresses", &in.AllowedIPs)
	if !v.clean(f) || !v.mayGrant(value(in.Scopes)) {
		return
	}
	made, err := v.changeKey(ctx, &struct {
		ID      string `path:"id"`
		IfMatch string `header:"If-Match"`
		Body    KeyChange
	}{ID: id, Body: in})
	if err != nil {
		v.fail(err)
		return
	}
	writeJSON(v.W, http.StatusOK, v.names.key(made.Body, ""))
}

func (v *keysVisit) delete(ctx context.Context, id string) {
	_, err := v.revokeKey(ctx, &struct {
		ID      string `path:"id"`
		IfMatch string `header:"If-Match"`
	}{ID: id})
	if err != nil {
		v.fail(err)
		return
	}
	v.W.WriteHeader(http.StatusNoContent)
}

func (v *keysVisit) show(ctx context.Context, id string) {
	c, err := v.key(ctx, id)
	if err != nil {
		v.fail(v.problem(ctx, "show key", "key", err))
		return
	}
	writeJSON(v.W, http.StatusOK, v.names.key(showKey(c, v.now()), ""))
}

// list shows the tenant's keys, the newest first, without those that are
// deleted.
func (v *keysVisit) list(ctx context.Context) {
	query := v.R.URL.Query()
	limit := 100
	var f faults
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if limit = n; err != nil || n < 1 || n > 500 {
			f.at("limit", "is not a number from 1 to 500")
		}
	}
	if !v.clean(f) {
		return
	}
	filter := sallyport.CredentialFilter{
		API: v.Said.API, Tenant: v.Said.Tenant, Kind: sallyport.KindKey, After: query.Get("after"), Limit: 500,
	}
	keys, next := []object{}, ""
	for range maxListPages {
		found, err := v.store.Credentials(ctx, filter)
		switch {
		case errors.Is(err, sallyport.ErrNotFound):
			v.fail(errAfter())
			return
		case err != nil:
			v.fail(v.problem(ctx, "list keys", "key", err))
			return
		}
		for _, c := range found {
			if c.State == sallyport.Revoked {
				continue
			}
			if len(keys) == limit {
				v.page(keys, next)
				return
			}
			keys, next = append(keys, v.names.key(showKey(c, v.now()), "")), c.ID
		}
		if len(found) < filter.Limit {
			v.page(keys, "")
			return
		}
		filter.After = found[len(found)-1].ID
	}
	v.page(keys, filter.After)
}

func (v *keysVisit) page(keys []object, next string) {
	body := object{{listName(v.R.URL.Path), keys}}
	if next != "" {
		body = append(body, member{"next", next})
	}
	writeJSON(v.W, http.StatusOK, body)
}

// listName is what a list is called: by the path that it stands on.
func listName(of string) string { return strings.ReplaceAll(path.Base(of), "-", "_") }

// mayGrant refuses scopes that the caller does not hold: nobody hands on what
// is not theirs.
func (v *keysVisit) mayGrant(scopes []string) bool {
	for _, name := range scopes {
		asked := []string{name}
		if preset, ok := v.API.Presets[name]; ok {
			asked = preset
		}
		for _, s := range asked {
			if v.API.HasScope(s) && !v.API.Holds(v.holds, s) {
				v.refuse(sallyport.KindInsufficientScope, "", s)
				return false
			}
		}
	}
	return true
}

// clean answers with faults, if there are any.
func (v *keysVisit) clean(f faults) bool {
	if len(f) == 0 {
		return true
	}
	v.fail(f.err())
	return false
}

// fail answers with an error of the admin API, in the API's own shape and words.
func (v *keysVisit) fail(err error) {
	var model *huma.ErrorModel
	if !errors.As(err, &model) {
		v.refuse(sallyport.KindUnavailable, "", "")
		return
	}
	switch model.Status {
	case http.StatusNotFound:
		v.refuse(sallyport.KindNotFound, "", "")
	case http.StatusConflict:
		v.refuse(sallyport.KindConflict, v.names.message(model), "")
	case http.StatusUnprocessableEntity:
		v.refuse(sallyport.KindBadRequest, v.names.message(model), "")
	case http.StatusRequestEntityTooLarge:
		v.refuse(sallyport.KindTooLarge, "", "")
	default:
		v.refuse(sallyport.KindUnavailable, "", "")
	}
}

// refuse answers with a refusal in the API's own shape.
func (v *keysVisit) refuse(kind sallyport.Kind, message, missing string) {
	v.Refuse(kind, visit.Refusal{Message: message, Missing: missing})
}
