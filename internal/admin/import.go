package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
)

// maxFaults is how many an answer to an import tells: all of one mistake may be
// thousands.
const maxFaults = 100

func (h *Handler) importKeys(ctx context.Context, in *struct{ Body ImportKeys }) (*answer[ImportedKeys], error) {
	i, err := h.newImporter(ctx, in.Body.NewTenants)
	if err != nil {
		return nil, err
	}
	ctx, cancel := writingFor(ctx, importTimeout)
	defer cancel()
	list, err := i.all(ctx, in.Body.Keys)
	if err != nil {
		return nil, err
	}
	if err := i.createTenants(ctx); err != nil {
		return nil, h.problem(ctx, "create tenants", "tenant", err)
	}
	done, err := h.store.ImportCredentials(ctx, list)
	if err != nil {
		return nil, h.problem(ctx, "import keys", "key", atKeys(err))
	}
	out := ImportedKeys{Keys: []ImportedKey{}}
	for at, n := range list {
		if n.Unchecked {
			h.changed.MarkUnchecked(n.API, n.Prefix)
		}
		h.changed.Known(n.Digest)
		out.Keys = append(out.Keys, ImportedKey{KeyID: done[at].ID, Existed: done[at].Existed})
		if done[at].Existed {
			out.Existed++
		} else {
			out.Imported++
		}
	}
	h.log.InfoContext(ctx, "keys imported", "imported", out.Imported, "existed", out.Existed)
	return &answer[ImportedKeys]{out}, nil
}

// atKeys makes what the store says about some of many keys an answer that names
// them.
func atKeys(err error) error {
	var f faults
	for _, at := range sallyport.AtIndexes(err) {
		if !errors.Is(at.Err, sallyport.ErrConflict) {
			return at
		}
		f.at(fmt.Sprintf("body.keys[%d]", at.Index), "its key_id, its secret or its label is that of another key")
	}
	if len(f) == 0 {
		return err
	}
	return huma.Error409Conflict("none of these keys was imported", f...)
}

// importer reads the keys of one import.
type importer struct {
	h       *Handler
	policy  *sallyport.Policy
	now     time.Time
	near    string         // what new ids begin with
	tenants *ImportTenants // nil: none is made
	made    []sallyport.Tenant
	owners  map[[3]string]owner         // found so far
	strict  map[string]*apikey.Prefixes // by API, with every checksum looked at
	seen    map[sallyport.Digest]int
}

// newImporter returns an importer for the caller.
//
// New ids of one import begin alike: a table of a million is then written to in
// one place, and not in a thousand.
func (h *Handler) newImporter(ctx context.Context, tenants *ImportTenants) (*importer, error) {
	if tenants != nil && callerOf(ctx).tenant != "" {
		var f faults
		f.at("body.new_tenants", "is not for admin tokens of one tenant; leave it out")
		return nil, f.err()
	}
	id, err := newID("key_")
	if err != nil {
		return nil, h.problem(ctx, "generate key", "key", err)
	}
	return &importer{
		h: h, policy: h.policyFor(ctx), now: h.moment(), near: id[:len(id)/2], tenants: tenants,
		owners: map[[3]string]owner{}, strict: map[string]*apikey.Prefixes{}, seen: map[sallyport.Digest]int{},
	}, nil
}

// createTenants keeps the tenants that are new. They stay where the keys cannot be
// kept after all: sent again, they are there.
func (i *importer) createTenants(ctx context.Context) error {
	if len(i.made) == 0 {
		return nil
	}
	if err := i.h.store.CreateTenants(ctx, i.made); err != nil {
		return err
	}
	for _, t := range i.made {
		i.h.changed.ForgetTenant(t.API, t.ID) // a look for it that found nothing may be remembered
	}
	i.h.log.InfoContext(ctx, "tenants created", "tenants", len(i.made))
	return nil
}

// all returns the credentials that keys asks for, or all that is wrong.
func (i *importer) all(ctx context.Context, keys []ImportKey) ([]sallyport.NewCredential, error) {
	var all faults
	list := make([]sallyport.NewCredential, len(keys))
	for at, in := range keys {
		var f faults
		who, err := i.owner(ctx, &f, in.NewKey)
		if err == nil {
			err = mayMakeKey(callerOf(ctx), fmt.Sprintf("body.keys[%d]", at), i.policy.API(in.API), in.NewKey, who)
		}
		if err != nil {
			return nil, err
		}
		if list[at], err = i.one(ctx, &f, in, who); err != nil {
			return nil, i.h.problem(ctx, "import keys", "key", err)
		}
		if before, twice := i.seen[list[at].Digest]; twice && len(f) == 0 {
			f.at("body", "is the same key as keys[%d]", before)
		}
		i.seen[list[at].Digest] = at
		if all = append(all, f.within(fmt.Sprintf("body.keys[%d]", at))...); len(all) >= maxFaults {
			break
		}
	}
	return list, all.err()
}

// owner finds whom a key is for, or makes its tenant where that is asked for.
func (i *importer) owner(ctx context.Context, f *faults, in NewKey) (owner, error) {
	name := [3]string{in.API, in.Tenant, in.User}
	if who, ok := i.owners[name]; ok {
		return who, nil
	}
	who, err := i.h.owner(ctx, i.policy, in)
	if err == nil && who.tenant == nil && i.tenants != nil && i.policy.API(in.API) != nil {
		if who, err = i.newOwner(f, in); who.tenant == nil {
			return who, err // told again with the next key of it
		}
	}
	i.owners[name] = who
	return who, err
}

// newOwner is a tenant that the import makes. A plan that it cannot have is the
// mistake of the whole import, not of the key.
func (i *importer) newOwner(f *faults, in NewKey) (owner, error) {
	if who, ok := i.owners[[3]string{in.API, in.Tenant, ""}]; ok {
		return who, nil
	}
	var own, whole faults
	t := readTenant(&own, i.policy, NewTenant{API: in.API, ID: in.Tenant, Plan: i.tenants.Plan}, i.now)
	for _, fault := range own {
		if detail := fault.(*huma.ErrorDetail); detail.Location == "body.id" {
			f.at("body.tenant", "%s", detail.Message)
		} else {
			whole = append(whole, fault)
		}
	}
	if len(own) > 0 {
		return owner{}, whole.within("body.new_tenants").err()
	}
	i.made = append(i.made, t)
	who := owner{tenant: &t}
	i.owners[[3]string{in.API, in.Tenant, ""}] = who
	return who, nil
}

var keyID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// one returns the credential that in asks for.
func (i *importer) one(ctx context.Context, f *faults, in ImportKey, who owner) (n sallyport.NewCredential, err error) {
	api := checkAPI(f, i.policy, in.API)
	if api == nil {
		return n, nil
	}
	secret := i.readSecret(f, api, &in)
	if len(*f) > 0 {
		return n, nil // the key says what it must keep to
	}
	form := chooseForm(f, api, in.Prefix, in.Environment)
	if form == nil {
		return n, nil
	}
	n.Credential = newCredential(f, api, olderForm(form), in.NewKey, who, i.now)
	n.Unchecked, n.Last4, n.UniqueName = secret.unchecked, secret.last4, form.UniqueLabel
	id := in.KeyID
	switch {
	case id != "" && callerOf(ctx).tenant != "":
		// An id exists once: a conflict would tell of other tenants' keys.
		f.at("body.key_id", "is not for admin tokens of one tenant; leave it out")
	case id != "" && !keyID.MatchString(id):
		f.at("body.key_id", "is not an id: write at most 64 letters, digits, _ and -")
	case id == "":
		id, err = newID("key_")
		id = i.near + id[min(len(i.near), len(id)):]
	}
	identify(&n.Credential, id)
	if err == nil {
		n.Digest, n.Pepper, err = i.digest(ctx, secret.sum)
	}
	return n, err
}

// digest returns the digest of a secret, and the version of its pepper: the
// current one, or that under which the store has it already.
func (i *importer) digest(ctx context.Context, sum [32]byte) (d sallyport.Digest, pepper int, err error) {
	for _, older := range i.h.hasher.Older() {
		d := older.DigestOfSum(sum)
		if _, err = i.h.store.ByDigest(ctx, d); err == nil {
			return d, older.Version(), nil
		}
		if !errors.Is(err, sallyport.ErrNotFound) {
			return d, 0, err
		}
	}
	return i.h.hasher.DigestOfSum(sum), i.h.hasher.Version(), nil
}

// olderForm is form for keys that were made elsewhere, at a time that nobody
// tells: how long they must live, and which ends could be chosen, was asked
// then.
func olderForm(form *sallyport.KeyForm) *sallyport.KeyForm {
	older := *form
	older.MinAge = 0
	if len(form.Expiry) > 0 && !slices.Contains(form.Expiry, onDate) {
		older.Expiry = append(slices.Clone(form.Expiry), onDate)
	}
	return &older
}

// importedSecret is what is known of a secret that was made elsewhere.
type importedSecret struct {
	sum       [32]byte // its SHA-256
	last4     string
	unchecked bool
}

// readSecret returns what is known of the secret of in. From one in clear it
// also reads the prefix, which it puts into in.
func (i *importer) readSecret(f *faults, api *sallyport.API, in *ImportKey) importedSecret {
	key := in.Secret.Reveal()
	switch {
	case (key == "") == (in.SHA256 == ""):
		f.at("body.key", "send the key or its sha256, and not both")
		return importedSecret{}
	case key == "":
		if in.Last4 != "" && !last4.MatchString(in.Last4) {
			f.at("body.last4", "is not the four characters at the end of a key")
		}
		return importedSecret{sum: readSum(f, in.SHA256), last4: in.Last4, unchecked: true}
	case in.Last4 != "":
		f.at("body.last4", "goes with sha256; a key says its own")
	}
	return importedSecret{sha256.Sum256([]byte(key)), apikey.NewSecret(key).Last4(), i.readPrefix(f, api, in, key)}
}

var last4 = regexp.MustCompile(`^[!-~]{4}$`)

func readSum(f *faults, text string) (sum [32]byte) {
	if len(text) == hex.EncodedLen(len(sum)) {
		if _, err := hex.Decode(sum[:], []byte(text)); err == nil {
			return sum
		}
	}
	f.at("body.sha256", "is not a SHA-256, which is 64 hex digits")
	return sum
}

// readPrefix puts the registered prefix of key into in, and reports whether the
// key has no checksum of ours.
func (i *importer) readPrefix(f *faults, api *sallyport.API, in *ImportKey, key string) (unchecked bool) {
	prefixes, err := i.prefixes(api)
	if err != nil {
		f.at("body.api", "%s has key prefixes that cannot be told apart", api.Name)
		return false
	}
	form := prefixes.Importable(key)
	_, err = prefixes.Parse(key)
	switch {
	case errors.Is(err, apikey.ErrUnknownPrefix):
		var known []string
		for _, k := range api.Keys {
			known = append(known, k.Prefix)
		}
		f.at("body.key", "does not begin with a key prefix of %s; %s", api.Name, list(known))
	case form == nil:
		f.at("body.key", "has not 8 to 256 characters behind its prefix, or one that cannot stand in a header")
	case in.Prefix != "" && in.Prefix != form.Prefix:
		f.at("body.prefix", "is not that of the key, which begins with %s", form.Prefix)
	default:
		in.Prefix = form.Prefix
	}
	return err != nil
}

// prefixes are those of api, with every checksum looked at.
func (i *importer) prefixes(api *sallyport.API) (*apikey.Prefixes, error) {
	if known, ok := i.strict[api.Name]; ok {
		return known, nil
	}
	strict := slices.Clone(api.Keys)
	for n := range strict {
		strict[n].LegacyBody = false // so that Parse looks at the checksum
	}
	prefixes, err := apikey.Compile(strict)
	if err == nil {
		i.strict[api.Name] = prefixes
	}
	return prefixes, err
}
