package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/seal"
	"github.com/sallyport/sallyport/internal/webhook"
)

// SenderStore keeps who signs webhooks. Errors wrap sallyport.ErrNotFound,
// ErrConflict or ErrFinal where they apply.
type SenderStore interface {
	CreateSender(ctx context.Context, w sallyport.Sender) error
	Sender(ctx context.Context, api, id string) (*sallyport.Sender, error)
	// Senders lists those of one API, and of one tenant unless that is "", in the
	// order of their ids, behind after.
	Senders(ctx context.Context, api, tenant, after string, limit int) ([]*sallyport.Sender, error)
	// UpdateSender returns change's error as it is, and then changes nothing;
	// tenant "" is any.
	UpdateSender(ctx context.Context, api, tenant, id string, change func(*sallyport.Sender) error) (*sallyport.Sender, error)
}

const (
	senderPrefix = "sp_webhook_" // of the secrets that are made here
	minSecret    = 16            // bytes of a secret that is given
	maxSecret    = 1024
	maxSecrets   = 4 // that are good at a time: each is tried on every webhook
)

func (h *Handler) registerSenders(api huma.API) {
	create := operation("create-sender", http.MethodPost, "/admin/v1/senders", "Register a sender of webhooks; the answer shows its secret, once, unless it was given")
	create.DefaultStatus = http.StatusCreated
	huma.Register(api, create, h.createSender)
	huma.Register(api, operation("list-senders", http.MethodGet, "/admin/v1/senders", "List senders of webhooks, by id"), h.listSenders)
	const one = "/admin/v1/senders/{api}/{id}"
	huma.Register(api, operation("show-sender", http.MethodGet, one, "Show a sender, without its secrets"), h.showSender)
	huma.Register(api, operation("change-sender", http.MethodPatch, one, "Change a sender's name or state"), h.changeSender)
	huma.Register(api, operation("roll-sender", http.MethodPost, one+"/roll",
		"Give a sender a new secret; the answer shows it, once, unless it was given. Those before stay good for a while"), h.rollSender)
	huma.Register(api, operation("settle-sender", http.MethodPost, one+"/settle", "End all secrets of a sender but the newest, now"), h.settleSender)
	huma.Register(api, operation("revoke-sender", http.MethodPost, one+"/revoke", "Revoke a sender, for good. Its id is not free again"), h.revokeSender)
}

func (h *Handler) createSender(ctx context.Context, in *struct{ Body NewSender }) (*tagged[CreatedSender], error) {
	policy := h.policyFor(ctx)
	ctx, cancel := writing(ctx)
	defer cancel()
	tenant, err := h.tenantFor(ctx, policy, in.Body.API, in.Body.Tenant)
	if err != nil {
		return nil, err
	}
	w, err := newSender(policy, in.Body, tenant, h.moment())
	if err != nil {
		return nil, err
	}
	if err := mayMakeSender(callerOf(ctx), policy.API(w.API), &w); err != nil {
		return nil, err
	}
	kept, made, err := h.senderSecret(w.API, w.ID, in.Body.Secret)
	if err != nil {
		return nil, h.problem(ctx, "generate secret", "sender", err)
	}
	w.Secrets = []sallyport.SealedSecret{kept}
	err = h.store.CreateSender(ctx, w)
	h.changed.ForgetSender(w.API, w.ID) // a look for it that found nothing may be remembered
	if err != nil {
		return nil, h.problem(ctx, "create sender", "sender", err)
	}
	h.log.InfoContext(ctx, "sender created", "api", w.API, "tenant", w.Tenant.ID, "sender", w.ID)
	shown := showSender(&w, h.now())
	return &tagged[CreatedSender]{tag(shown), CreatedSender{made, shown}}, nil
}

// mayMakeSender refuses to a tenant a sender that signs for the whole API, being
// called by a name of the configuration, and one that limits would pass over.
func mayMakeSender(by caller, api *sallyport.API, w *sallyport.Sender) error {
	if by.tenant != "" && slices.Contains(namedSenders(api), w.ID) {
		return notItsOwn("body", map[string]bool{"id": true})
	}
	return isCounted(by, "body", api, owner{tenant: w.Tenant})
}

// senderSecret returns a secret of a sender, sealed: the one that is given, or a
// new one, which is then made.
func (h *Handler) senderSecret(api, id string, given Shown) (kept sallyport.SealedSecret, made Shown, err error) {
	secret := given
	if secret == "" {
		random, err := apikey.Generate(senderPrefix)
		if err != nil {
			return kept, "", err
		}
		made = Shown(random.Reveal())
		secret = made
	}
	kept.Sealed = seal.Under(h.hasher).Seal(webhook.SealName(api, id), []byte(secret.Reveal()))
	kept.Pepper = h.hasher.Version()
	return kept, made, nil
}

// newSender returns the sender that in asks for, of tenant t, without its secret;
// nil: there is no such tenant.
func newSender(p *sallyport.Policy, in NewSender, t *sallyport.Tenant, now time.Time) (w sallyport.Sender, err error) {
	var f faults
	checkText(&f, "body.name", in.Name)
	checkSecret(&f, in.Secret)
	api := checkAPI(&f, p, in.API)
	if api == nil {
		checkID(&f, in.ID)
		return w, f.err()
	}
	checkSenderID(&f, api, in.ID)
	checkTenant(&f, api, t)
	return sallyport.Sender{ID: in.ID, API: api.Name, Tenant: t, Name: in.Name, State: sallyport.Active, CreatedAt: now}, f.err()
}

// checkSenderID holds that an operation of api may have a sender called id.
func checkSenderID(f *faults, api *sallyport.API, id string) {
	named := namedSenders(api)
	switch {
	case slices.Contains(named, id):
	case len(named) == 0 && !takesSenders(api):
		f.at("body.api", "%s has no webhooks in the configuration", quote(api.Name))
	case !takesSenders(api):
		f.at("body.id", "%s is not a sender that the configuration names; %s", quote(id), list(named))
	default:
		checkID(f, id)
	}
}

// namedSenders are those that operations of api name.
func namedSenders(api *sallyport.API) (names []string) {
	for _, op := range api.Operations {
		if op.Webhook != nil && op.Webhook.Sender != "" {
			names = append(names, op.Webhook.Sender)
		}
	}
	return unique(names)
}

// takesSenders reports whether an operation of api has its sender named by the path.
func takesSenders(api *sallyport.API) bool {
	return slices.ContainsFunc(api.Operations, func(op *sallyport.Operation) bool { return op.Webhook != nil && op.Webhook.Parameter != "" })
}

// checkSecret holds that a secret that is given can be none that is guessed, or
// that was copied with the end of its line. It is repeated nowhere.
func checkSecret(f *faults, secret Shown) {
	switch n := len(secret); {
	case n == 0: // one is made
	case n < minSecret:
		f.at("body.secret", "has %d bytes; at least %d are needed, or leave it out, and one is made", n, minSecret)
	case n > maxSecret:
		f.at("body.secret", "has %d bytes; %d is the most", n, maxSecret)
	case strings.ContainsFunc(secret.Reveal(), unicode.IsControl):
		f.at("body.secret", "holds a control character, such as the end of a line; write it without")
	}
}

func (h *Handler) listSenders(ctx context.Context, in *struct {
	API    string `query:"api" doc:"Required, unless the admin token is of one API"`
	Tenant string `query:"tenant"`
	After  string `query:"after" doc:"The next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}) (*answer[SenderList], error) {
	c := callerOf(ctx)
	in.API, in.Tenant = cmp.Or(in.API, c.api), cmp.Or(in.Tenant, c.tenant)
	if err := required("query.api", in.API); err != nil {
		return nil, err
	}
	page := SenderList{Senders: []Sender{}}
	if !c.covers(in.API, in.Tenant) {
		return &answer[SenderList]{page}, nil
	}
	// One more tells whether there is a next page.
	found, err := h.store.Senders(ctx, in.API, in.Tenant, in.After, in.Limit+1)
	if err != nil {
		return nil, h.problem(ctx, "list senders", "sender", err)
	}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		page.Next = found[in.Limit-1].ID
	}
	now := h.now()
	for _, w := range found {
		page.Senders = append(page.Senders, showSender(w, now))
	}
	return &answer[SenderList]{page}, nil
}

// SenderName names a sender in a path. It is exported for huma, which reads no
// others.
type SenderName struct {
	API string `path:"api"`
	ID  string `path:"id"`
}

func (h *Handler) showSender(ctx context.Context, in *struct {
	SenderName
	IfNoneMatch string `header:"If-None-Match"`
}) (*tagged[Sender], error) {
	w, err := (*sallyport.Sender)(nil), errElsewhere
	if by := callerOf(ctx); by.api == "" || by.api == in.API {
		w, err = h.store.Sender(ctx, in.API, in.ID)
		if err == nil && !by.covers(w.API, w.Tenant.ID) {
			err = errElsewhere
		}
	}
	if err != nil {
		return nil, h.problem(ctx, "show sender", "sender", err)
	}
	return show(in.IfNoneMatch, showSender(w, h.now()))
}

func (h *Handler) changeSender(ctx context.Context, in *struct {
	SenderName
	IfMatch string `header:"If-Match"`
	Body    SenderChange
}) (*tagged[Sender], error) {
	return h.changedSender(ctx, "change sender", in.SenderName, in.IfMatch, func(w *sallyport.Sender) error {
		if w.State == sallyport.Revoked {
			return sallyport.ErrFinal
		}
		var f faults
		changeState(&f, &w.State, in.Body.State, "; to revoke a sender, POST to its /revoke")
		if in.Body.Name.Sent {
			w.Name = value(in.Body.Name)
			checkText(&f, "body.name", w.Name)
		}
		return f.err()
	})
}

// senderCall is a change of a sender that sends no body.
type senderCall struct {
	SenderName
	IfMatch string `header:"If-Match"`
}

func (h *Handler) revokeSender(ctx context.Context, in *senderCall) (*tagged[Sender], error) {
	return h.changedSender(ctx, "revoke sender", in.SenderName, in.IfMatch, func(w *sallyport.Sender) error {
		w.State, w.Secrets = sallyport.Revoked, nil
		return nil
	})
}

func (h *Handler) settleSender(ctx context.Context, in *senderCall) (*tagged[Sender], error) {
	return h.changedSender(ctx, "settle sender", in.SenderName, in.IfMatch, func(w *sallyport.Sender) error {
		if w.State == sallyport.Revoked {
			return sallyport.ErrFinal
		}
		w.Secrets = w.Secrets[:min(1, len(w.Secrets))]
		return nil
	})
}

// changedSender answers with a sender after change.
func (h *Handler) changedSender(ctx context.Context, doing string, which SenderName, match string, change func(*sallyport.Sender) error) (*tagged[Sender], error) {
	w, err := h.updateSender(ctx, doing, which, match, change)
	if err != nil {
		return nil, err
	}
	return show("", showSender(w, h.now()))
}

// updateSender changes a sender and tells the caches, also where the store failed:
// it may have changed the sender all the same.
func (h *Handler) updateSender(ctx context.Context, doing string, which SenderName, match string, change func(*sallyport.Sender) error) (*sallyport.Sender, error) {
	by := callerOf(ctx)
	if by.api != "" && by.api != which.API {
		return nil, h.problem(ctx, doing, "sender", errElsewhere)
	}
	ctx, cancel := writing(ctx)
	defer cancel()
	w, err := h.store.UpdateSender(ctx, which.API, by.tenant, which.ID, func(w *sallyport.Sender) error {
		if err := ifMatch(match, showSender(w, h.now())); err != nil {
			return err
		}
		return change(w)
	})
	h.changed.ForgetSender(which.API, which.ID)
	if err != nil {
		return nil, h.problem(ctx, doing, "sender", err)
	}
	h.log.InfoContext(ctx, "sender changed", "doing", doing, "api", w.API, "tenant", w.Tenant.ID, "sender", w.ID, "state", w.State.String(), "secrets", len(w.Secrets))
	return w, nil
}

func (h *Handler) rollSender(ctx context.Context, in *struct {
	SenderName
	IfMatch string `header:"If-Match"`
	Body    *RollSender
}) (*tagged[RolledSender], error) {
	var asked RollSender
	if in.Body != nil {
		asked = *in.Body
	}
	grace, err := graceOf(&RollKey{asked.Grace})
	if err != nil {
		return nil, err
	}
	var f faults
	if checkSecret(&f, asked.Secret); len(f) > 0 {
		return nil, f.err()
	}
	now := h.moment()
	rolled := RolledSender{OldEndsAt: now.Add(grace)}
	w, err := h.updateSender(ctx, "roll sender", in.SenderName, in.IfMatch, func(w *sallyport.Sender) error {
		if w.State == sallyport.Revoked {
			return sallyport.ErrFinal
		}
		kept, made, err := h.senderSecret(w.API, w.ID, asked.Secret)
		if err != nil {
			return err
		}
		rolled.Secret = made
		w.Secrets = append([]sallyport.SealedSecret{kept}, ending(w.Secrets, now, rolled.OldEndsAt)...)
		if len(w.Secrets) > maxSecrets {
			return errSecrets
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	rolled.Sender = showSender(w, h.now())
	return &tagged[RolledSender]{tag(rolled.Sender), rolled}, nil
}

var errSecrets = huma.Error409Conflict(fmt.Sprintf("the sender would have more than %d secrets that are good; end those before the newest first, by POST to its /settle", maxSecrets))

// ending returns those of secrets that are good after now, with an end that is end
// at the latest.
func ending(secrets []sallyport.SealedSecret, now, end time.Time) (kept []sallyport.SealedSecret) {
	for _, s := range secrets {
		if s.ExpiresAt.IsZero() || end.Before(s.ExpiresAt) {
			s.ExpiresAt = end
		}
		if s.ExpiresAt.After(now) {
			kept = append(kept, s)
		}
	}
	return kept
}

// showSender is w as it is shown at now.
func showSender(w *sallyport.Sender, now time.Time) Sender {
	shown := Sender{API: w.API, ID: w.ID, Name: w.Name, State: w.State.String(), Secrets: []SenderSecret{}, CreatedAt: w.CreatedAt}
	if w.Tenant != nil {
		shown.Tenant = w.Tenant.ID
	}
	for _, s := range w.Secrets {
		switch {
		case s.ExpiresAt.IsZero():
			shown.Secrets = append(shown.Secrets, SenderSecret{})
		case now.Before(s.ExpiresAt):
			shown.Secrets = append(shown.Secrets, SenderSecret{&s.ExpiresAt})
		}
	}
	return shown
}
