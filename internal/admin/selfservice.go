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
	"github.com/sallyport/sallyport/internal/proof"
	"github.com/sallyport/sallyport/internal/render"
)

// visit is one request to an API's own endpoint for keys: by one of the
// tenant's credentials, in the API's own words and shapes. What it does, the
// operations of the admin API do, with a caller who reaches that tenant alone.
type visit struct {
	*Handler
	w      http.ResponseWriter
	r      *http.Request
	api    *sallyport.API
	names  fieldNames
	said   proof.Statement
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

// ServeEndpoint serves what APIs mount on their own paths. It does nothing
// without the proof that Check let the request pass, which says whose it is.
func (h *Handler) ServeEndpoint(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	keys := []proof.Key{h.hasher.Derive(proof.Purpose)}
	for _, older := range h.hasher.Older() {
		keys = append(keys, older.Derive(proof.Purpose))
	}
	said, err := proof.Verify(keys, r.Header.Get(proof.Header), r.Method, r.URL.EscapedPath(), h.now())
	if err != nil {
		writeProblem(w, http.StatusNotFound, "nothing is served here; APIs' endpoints are reached through Envoy")
		return
	}
	v := &visit{Handler: h, w: w, r: r, said: said, api: h.policy().API(said.API)}
	op := operationOf(v.api, said.Operation)
	if op == nil || op.Serve != sallyport.ServeKeys {
		writeProblem(w, http.StatusNotFound, "the configuration no longer has this endpoint")
		return
	}
	v.names = newFieldNames(op.Fields)
	v.serve(strings.HasSuffix(op.Path, "}"))
}

func operationOf(api *sallyport.API, name string) *sallyport.Operation {
	if api == nil {
		return nil
	}
	for _, op := range api.Operations {
		if op.Name == name {
			return op
		}
	}
	return nil
}

// serve answers: about one key, or about all.
func (v *visit) serve(one bool) {
	// The body comes first: who may take their time with it must not be judged
	// before it is there.
	body, err := io.ReadAll(http.MaxBytesReader(v.w, v.r.Body, maxKeyBody))
	v.body, v.broken = body, err
	by := caller{token: "credential " + v.said.Credential, role: RoleOperator, api: v.said.API, tenant: v.said.Tenant}
	ctx := withCaller(v.r.Context(), by)
	c, err := v.key(ctx, v.said.Credential)
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
	v.holds, v.prefix, v.ofUser = v.api.Rights(&memory, c), c.Prefix, c.User != nil
	if !one {
		if v.r.Method == http.MethodPost {
			v.create(ctx)
		} else {
			v.list(ctx)
		}
		return
	}
	id, err := url.PathUnescape(path.Base(v.r.URL.EscapedPath()))
	if err == nil {
		err = v.own(ctx, id)
	}
	switch {
	case err != nil:
		v.fail(err)
	case v.r.Method == http.MethodPatch:
		v.change(ctx, id)
	case v.r.Method == http.MethodDelete:
		v.delete(ctx, id)
	default:
		v.show(ctx, id)
	}
}

// own refuses what is no key of the tenant's: one that is deleted is none.
func (v *visit) own(ctx context.Context, id string) error {
	c, err := v.key(ctx, id)
	switch {
	case err != nil:
		return v.problem(ctx, "find key", "key", err)
	case c.State == sallyport.Revoked || c.Kind != sallyport.KindKey:
		return huma.Error404NotFound("no such key")
	}
	return nil
}

func (v *visit) create(ctx context.Context) {
	if v.ofUser { // the key would stay when the user goes
		v.refuse(sallyport.KindForbidden, "", "")
		return
	}
	in := NewKey{API: v.said.API, Tenant: v.said.Tenant}
	if form := v.api.KeyForm(v.prefix); form != nil && kindOf(form) == sallyport.KindKey {
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
	writeJSON(v.w, http.StatusCreated, v.names.key(made.Body.Key, made.Body.Secret))
}

func (v *visit) change(ctx context.Context, id string) {
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
	writeJSON(v.w, http.StatusOK, v.names.key(made.Body, ""))
}

func (v *visit) delete(ctx context.Context, id string) {
	_, err := v.revokeKey(ctx, &struct {
		ID      string `path:"id"`
		IfMatch string `header:"If-Match"`
	}{ID: id})
	if err != nil {
		v.fail(err)
		return
	}
	v.w.WriteHeader(http.StatusNoContent)
}

func (v *visit) show(ctx context.Context, id string) {
	c, err := v.key(ctx, id)
	if err != nil {
		v.fail(v.problem(ctx, "show key", "key", err))
		return
	}
	writeJSON(v.w, http.StatusOK, v.names.key(showKey(c, v.now()), ""))
}

// list shows the tenant's keys, the newest first, without those that are
// deleted.
func (v *visit) list(ctx context.Context) {
	query := v.r.URL.Query()
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
		API: v.said.API, Tenant: v.said.Tenant, Kind: sallyport.KindKey, After: query.Get("after"), Limit: 500,
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

func (v *visit) page(keys []object, next string) {
	body := object{{listName(v.r.URL.Path), keys}}
	if next != "" {
		body = append(body, member{"next", next})
	}
	writeJSON(v.w, http.StatusOK, body)
}

// listName is what a list is called: by the path that it stands on.
func listName(of string) string { return strings.ReplaceAll(path.Base(of), "-", "_") }

// mayGrant refuses scopes that the caller does not hold: nobody hands on what
// is not theirs.
func (v *visit) mayGrant(scopes []string) bool {
	for _, name := range scopes {
		asked := []string{name}
		if preset, ok := v.api.Presets[name]; ok {
			asked = preset
		}
		for _, s := range asked {
			if isScope(v.api, s) && !v.api.Holds(v.holds, s) {
				v.refuse(sallyport.KindInsufficientScope, "", s)
				return false
			}
		}
	}
	return true
}

func isScope(api *sallyport.API, name string) bool {
	for _, s := range api.Scopes {
		if s.Name == name {
			return true
		}
	}
	return false
}

// clean answers with faults, if there are any.
func (v *visit) clean(f faults) bool {
	if len(f) == 0 {
		return true
	}
	v.fail(f.err())
	return false
}

// fail answers with an error of the admin API, in the API's own shape and words.
func (v *visit) fail(err error) {
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
func (v *visit) refuse(kind sallyport.Kind, message, missing string) {
	answers, err := render.NewAnswers(v.api)
	if err != nil { // a policy in force has answers that compile
		writeProblem(v.w, http.StatusInternalServerError, "the server could not answer; its log says why")
		v.log.Error("answers of an API in force do not compile", "api", v.api.Name, "error", err)
		return
	}
	var text render.Text
	vars := render.Vars{
		RequestID: v.said.RequestID, API: v.said.API, Tenant: v.said.Tenant, Credential: v.said.Credential,
		Operation: v.said.Operation, MissingScope: missing, Message: message, Now: v.now(),
	}
	r := answers.RefuseSaying(kind, &vars, &sallyport.Verdict{}, v.now(), nil, &text)
	for _, h := range r.Headers {
		v.w.Header().Set(h.Name, h.Value)
	}
	v.w.WriteHeader(r.Status)
	// The caller may have gone; there is nobody else to tell.
	_, _ = v.w.Write([]byte(r.Body))
}
