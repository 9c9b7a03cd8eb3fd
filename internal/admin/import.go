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
	i := importer{h: h, policy: h.policyFor(ctx), now: h.moment(), owners: map[[3]string]owner{}, seen: map[sallyport.Digest]int{}}
	ctx, cancel := writingFor(ctx, importTimeout)
	defer cancel()
	list, err := i.all(ctx, in.Body.Keys)
	if err != nil {
		return nil, err
	}
	done, err := h.store.ImportCredentials(ctx, list)
	if err != nil {
		return nil, h.problem(ctx, "import keys", "key", atKey(err))
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

// atKey makes what the store says about one of many keys an answer that names
// the key.
func atKey(err error) error {
	var at sallyport.AtIndex
	if !errors.As(err, &at) || !errors.Is(err, sallyport.ErrConflict) {
		return err
	}
	var f faults
	f.at(fmt.Sprintf("body.keys[%d]", at.Index), "its key_id, its secret or its label is that of another key")
	return huma.Error409Conflict("none of these keys was imported", f...)
}

// importer reads the keys of one import.
type importer struct {
	h      *Handler
	policy *sallyport.Policy
	now    time.Time
	owners map[[3]string]owner // found so far
	seen   map[sallyport.Digest]int
}

// all returns the credentials that keys asks for, or all that is wrong.
func (i *importer) all(ctx context.Context, keys []ImportKey) ([]sallyport.NewCredential, error) {
	var all faults
	list := make([]sallyport.NewCredential, len(keys))
	for at, in := range keys {
		who, err := i.owner(ctx, in.NewKey)
		if err == nil {
			err = mayMakeKey(callerOf(ctx), fmt.Sprintf("body.keys[%d]", at), i.policy.API(in.API), in.NewKey, who)
		}
		if err != nil {
			return nil, err
		}
		var f faults
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

func (i *importer) owner(ctx context.Context, in NewKey) (owner, error) {
	name := [3]string{in.API, in.Tenant, in.User}
	if who, ok := i.owners[name]; ok {
		return who, nil
	}
	who, err := i.h.owner(ctx, i.policy, in)
	i.owners[name] = who
	return who, err
}

var keyID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// one returns the credential that in asks for.
func (i *importer) one(ctx context.Context, f *faults, in ImportKey, who owner) (n sallyport.NewCredential, err error) {
	api := checkAPI(f, i.policy, in.API)
	if api == nil {
		return n, nil
	}
	secret := readSecret(f, api, &in)
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
func readSecret(f *faults, api *sallyport.API, in *ImportKey) importedSecret {
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
	return importedSecret{sha256.Sum256([]byte(key)), apikey.NewSecret(key).Last4(), readPrefix(f, api, in, key)}
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
func readPrefix(f *faults, api *sallyport.API, in *ImportKey, key string) (unchecked bool) {
	strict := slices.Clone(api.Keys)
	for i := range strict {
		strict[i].LegacyBody = false // so that Parse looks at the checksum
	}
	prefixes, err := apikey.Compile(strict)
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
