package admin

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
)

// defaultGrace is how long the secrets before a roll stay good where nothing
// else is asked for: time to bring the new one out.
const defaultGrace = 24 * time.Hour

func (h *Handler) rollKey(ctx context.Context, in *struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match"`
	Body    *RollKey
}) (*tagged[RolledKey], error) {
	rolled, err := h.roll(ctx, "key", in.ID, in.IfMatch, in.Body)
	if err != nil {
		return nil, err
	}
	shown := showKey(rolled.credential, h.now())
	return &tagged[RolledKey]{tag(shown), RolledKey{Shown(rolled.secret.Reveal()), rolled.oldEnd, shown}}, nil
}

// rolled is a credential with its new secret.
type rolled struct {
	credential *sallyport.Credential
	secret     apikey.Secret
	oldEnd     time.Time // when the secrets before end, at the latest
}

// roll gives a credential, which is called noun, a new secret. The tag in match,
// if any, is that of what is shown of a key.
func (h *Handler) roll(ctx context.Context, noun, id, match string, in *RollKey) (r rolled, err error) {
	grace, err := graceOf(in)
	if err != nil {
		return r, err
	}
	by, policy, now := callerOf(ctx), h.policyFor(ctx), h.moment()
	ctx, cancel := writing(ctx)
	defer cancel()
	var roll sallyport.Roll
	r.credential, err = h.store.RollCredential(ctx, by.api, by.tenant, id, func(c *sallyport.Credential) (_ sallyport.Roll, err error) {
		if err := ifMatch(match, showKey(c, h.now())); err != nil {
			return roll, err
		}
		if roll.OldEnd, err = oldEnd(policy, c, grace, now); err != nil {
			return roll, err
		}
		if r.secret, err = apikey.Generate(c.Prefix); err != nil {
			return roll, err
		}
		c.Last4 = r.secret.Last4()
		c.Unchecked = c.Unchecked && roll.OldEnd.After(now) // ours have a checksum
		roll.Digest, roll.Pepper, roll.Now = h.hasher.Digest(r.secret.Reveal()), h.hasher.Version(), now
		return roll, nil
	})
	h.changed.ForgetCredential(id)
	if err != nil {
		return r, h.problem(ctx, "roll "+noun, noun, err)
	}
	h.changed.Known(roll.Digest)
	h.log.InfoContext(ctx, noun+" changed", "doing", "roll "+noun, noun+"_id", r.credential.ID, "old_ends_at", roll.OldEnd)
	r.oldEnd = roll.OldEnd
	return r, nil
}

// graceOf returns how long the secrets before a roll stay good.
func graceOf(in *RollKey) (time.Duration, error) {
	switch {
	case in == nil || in.Grace == "":
		return defaultGrace, nil
	case in.Grace == "0":
		return 0, nil
	}
	grace, err := sallyport.ParseLength(in.Grace)
	if err != nil {
		var f faults
		f.at("body.grace", "cannot be read: write a length such as 24h or 7d, or 0 to end the secrets before at once")
		return 0, f.err()
	}
	return grace, nil
}

// oldEnd returns when the secrets of c end that are good now, if it is rolled
// at now: after grace, and never later than they would.
func oldEnd(p *sallyport.Policy, c *sallyport.Credential, grace time.Duration, now time.Time) (time.Time, error) {
	api := p.API(c.API)
	switch end := now.Add(grace); {
	case c.State == sallyport.Revoked:
		return end, sallyport.ErrFinal
	case c.Expired(now):
		return end, huma.Error409Conflict("the key has expired; give it a later end first, by a change of expires_at")
	case api == nil || api.KeyForm(c.Prefix) == nil:
		return end, huma.Error409Conflict("the API or the prefix of the key is no longer in the configuration: a new secret would not be good")
	case !c.ExpiresAt.IsZero() && c.ExpiresAt.Before(end):
		return c.ExpiresAt, nil
	default:
		return end, nil
	}
}
