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
	grace, err := graceOf(in.Body)
	if err != nil {
		return nil, err
	}
	by, policy, now := callerOf(ctx), h.policyFor(ctx), h.moment()
	ctx, cancel := writing(ctx)
	defer cancel()
	var secret apikey.Secret
	var roll sallyport.Roll
	c, err := h.store.RollCredential(ctx, by.api, by.tenant, in.ID, func(c *sallyport.Credential) (_ sallyport.Roll, err error) {
		if err := ifMatch(in.IfMatch, showKey(c, h.now())); err != nil {
			return roll, err
		}
		if roll.OldEnd, err = oldEnd(policy, c, grace, now); err != nil {
			return roll, err
		}
		if secret, err = apikey.Generate(c.Prefix); err != nil {
			return roll, err
		}
		c.Last4 = secret.Last4()
		c.Unchecked = c.Unchecked && roll.OldEnd.After(now) // ours have a checksum
		roll.Digest, roll.Pepper, roll.Now = h.hasher.Digest(secret.Reveal()), h.hasher.Version(), now
		return roll, nil
	})
	h.changed.ForgetCredential(in.ID)
	if err != nil {
		return nil, h.problem(ctx, "roll key", "key", err)
	}
	h.changed.Known(roll.Digest)
	h.log.InfoContext(ctx, "key changed", "doing", "roll key", "key_id", c.ID, "old_ends_at", roll.OldEnd)
	shown := showKey(c, h.now())
	return &tagged[RolledKey]{tag(shown), RolledKey{Shown(secret.Reveal()), roll.OldEnd, shown}}, nil
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
