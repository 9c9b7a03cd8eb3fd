package accept

import (
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/issuer"
)

// changed acts on what has changed about the keys of s, and says it.
func (t *Tokens) changed(s *source, state issuer.State) {
	if state.Withdrawn {
		t.o.Changed(s.api)
	}
	log := t.o.Log.With("api", s.api, "issuer", s.URL, "jwks", state.From, "keys", state.Keys)
	switch {
	case !state.Usable:
		log.Error("the keys of an issuer cannot be read: its tokens cannot be verified", "error", state.Err)
	case state.Err != nil:
		log.Warn("the keys of an issuer cannot be read: those that were read before are used", "error", state.Err, "until", state.Until)
	default:
		log.Info("keys of an issuer", "withdrawn", state.Withdrawn, "left_out", state.LeftOut)
	}
}

const (
	tellEvery  = time.Minute // that tokens are refused for one reason
	maxRefused = 1024        // reasons that are remembered
)

// refusals remembers what was told, so that strangers do not fill the log.
type refusals struct {
	mu   sync.Mutex
	told map[string]time.Time
}

// tell says why a token of s is refused: callers are not told, and who joins an
// issuer and an API has to know. It quotes nothing of the token.
func (t *Tokens) tell(api string, s *source, why error) {
	key, now := api+" "+s.URL+" "+why.Error(), t.o.Now()
	t.refused.mu.Lock()
	last, known := t.refused.told[key]
	tell := !known || now.Sub(last) >= tellEvery
	if tell {
		if t.refused.told == nil || len(t.refused.told) >= maxRefused {
			t.refused.told = map[string]time.Time{}
		}
		t.refused.told[key] = now
	}
	t.refused.mu.Unlock()
	if tell {
		t.o.Log.Warn("tokens of an issuer are refused", "api", api, "issuer", s.URL, "why", why)
	}
}
