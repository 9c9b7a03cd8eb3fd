package anomaly

import (
	"hash/maphash"
	"slices"
	"time"

	"github.com/sallyport/sallyport"
)

// Crossing says that a credential has crossed a rule.
type Crossing struct {
	API, Tenant string
	Credential  string // its id: of a token, that of what the token was made from
	Foreign     bool   // it is an outside issuer's token: there is nothing here to disable
	Epoch       uint64 // of the credential that was used so
	Rule        sallyport.Anomaly
	Count       uint64
}

// Watch counts how credentials are used, and tells when they cross a rule. Safe
// for concurrent use.
type Watch struct {
	tell   func(Crossing)
	seed   maphash.Seed
	shards [shards]shard
}

// The bounds of what is remembered, over all shards.
const (
	shards         = 64
	maxCredentials = 1 << 16
	maxNetworks    = 1 << 20
)

// New returns a Watch that has counted nothing. It calls tell, which must not
// block, of each crossing.
func New(tell func(Crossing)) *Watch {
	w := &Watch{tell: tell, seed: maphash.MakeSeed()}
	for i := range w.shards {
		w.shards[i].known = make(map[key]*entry)
	}
	return w
}

// Record counts what was decided about a request.
func (w *Watch) Record(d *sallyport.Decision, _ time.Duration) {
	if d.API == nil || len(d.API.Anomalies) == 0 || !isUse(d) {
		return
	}
	u := userOf(d.Credential)
	if id := d.Credential.ID; id != u.id { // of a grant's token: by it, the rate limit service knows the user
		w.alias(key{api: u.api, id: id}, u, d)
	}
	e := event{at: d.At.UnixNano(), request: true, refused: d.Reason.Refuses()}
	if slices.ContainsFunc(d.API.Anomalies, ofNetworks) {
		e.network = networkOf(d.Address)
	}
	s := w.shard(u.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if used := s.use(u, d.API); used != nil {
		w.add(s, used, &e)
	}
}

// Refused counts what the rate limit service refuses, of a request that Record has
// counted: where Envoy asks about both, that tells the credential.
func (w *Watch) Refused(d *sallyport.Decision) {
	if d.API == nil || len(d.API.Anomalies) == 0 || d.Reason != sallyport.QuotaExhausted {
		return
	}
	id := d.Subject.Credential
	if of := w.aliased(key{api: d.API.Name, id: id}); of != "" {
		id = of
	}
	s := w.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	used := s.known[key{api: d.API.Name, id: id}]
	if used == nil {
		used = s.known[key{api: d.API.Name, id: id, foreign: true}]
	}
	if used == nil || used.tenant != d.Subject.Tenant {
		return // a webhook's sender, or what another instance has let pass
	}
	s.judgeBy(used, d.API)
	w.add(s, used, &event{at: d.At.UnixNano(), refused: true})
}

// Sweep forgets what has not been used for so long that nothing of it counts.
func (w *Watch) Sweep(now time.Time) {
	for i := range w.shards {
		w.shards[i].sweep(now.UnixNano())
	}
}

// add counts e for used, and tells what that crosses, the gravest first: what was
// revoked need not be disabled. s is locked.
func (w *Watch) add(s *shard, used *entry, e *event) {
	used.at = max(used.at, e.at)
	for action := sallyport.ActionRevoke; action > sallyport.ActionUnset; action-- {
		for i := range used.tallies {
			t := &used.tallies[i]
			if t.rule.Action != action {
				continue
			}
			before := t.networks.size()
			count, crossed := t.add(e)
			s.networks += t.networks.size() - before
			if crossed {
				w.tell(Crossing{
					API: used.api, Tenant: used.tenant, Credential: used.id, Foreign: used.foreign,
					Epoch: used.epoch, Rule: t.rule, Count: count,
				})
			}
		}
	}
	s.bound(used)
}

// alias notes that u uses the API under another id too.
func (w *Watch) alias(k key, u user, d *sallyport.Decision) {
	s := w.shard(k.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.use(user{key: k, tenant: u.tenant, of: u.id}, d.API)
	known.of, known.at = u.id, d.At.UnixNano()
	s.bound(known)
}

// aliased returns the id of whoever used the API under k last; "" where that is k's
// own.
func (w *Watch) aliased(k key) string {
	s := w.shard(k.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.known[k]; known != nil {
		return known.of
	}
	return ""
}

func (w *Watch) shard(id string) *shard {
	return &w.shards[maphash.String(w.seed, id)%shards]
}

func ofNetworks(a sallyport.Anomaly) bool { return a.Of == sallyport.MeasureNetworks }

// isUse reports whether d is about a request that a good credential made and the
// gate was able to judge.
func isUse(d *sallyport.Decision) bool {
	c, why := d.Credential, d.Reason
	if c == nil || c.Kind == sallyport.KindWebhook {
		return false
	}
	if d.Shadowed != sallyport.Undecided {
		why = d.Shadowed
	}
	if !why.Refuses() {
		return true
	}
	switch kind := why.Kind(); kind {
	case sallyport.KindUnavailable, sallyport.KindMaintenance:
		return false
	default:
		return !kind.Unauthenticated()
	}
}

// user is whose use it is.
type user struct {
	key
	tenant string
	epoch  uint64
	of     string // the id of the user whose other id this is; ""
}

// key is by what a user is known.
type key struct {
	api, id string
	foreign bool // id is an outside issuer's
}

// userOf returns whose use it is when c is used.
func userOf(c *sallyport.Credential) user {
	u := user{key: key{api: c.API, id: c.ID}, tenant: c.Tenant.ID, epoch: c.Epoch}
	if c.Token != nil {
		u.foreign = c.Token.Parent == ""
		if !u.foreign {
			u.id = c.Token.Parent
		}
	}
	return u
}
