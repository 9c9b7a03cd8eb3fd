package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
)

// Limits are the counters, as administrators see them. An error means that they
// could not be asked, and that nothing is known to have changed. Safe for
// concurrent use.
type Limits interface {
	// Look says how every window of every charge stands, in order.
	Look(ctx context.Context, s *sallyport.Subject, charges []sallyport.Charge) ([]Standing, error)
	// Reset makes the counters of charges begin anew.
	Reset(ctx context.Context, s *sallyport.Subject, charges []sallyport.Charge) error
	// Refund gives hits back to every window of charges; none has less than
	// nothing used.
	Refund(ctx context.Context, s *sallyport.Subject, charges []sallyport.Charge, hits uint64) error
	// InFlight is how many requests of s hold a slot of limit.
	InFlight(s *sallyport.Subject, limit *sallyport.Limit) int
}

// Standing is one window of a counter as it stands.
type Standing struct {
	Limit     *sallyport.Limit
	Window    sallyport.Window
	Used      uint64
	Remaining uint64
	Reset     time.Time // when it is as good as unused, if nobody spends
}

// What must be named for a counter to be found.
const (
	needsKey       = "key"
	needsOperation = "operation"
)

// holder is whose limits are meant.
type holder struct {
	api *sallyport.API
	c   *sallyport.Credential // without an id where no key was named: what all of the tenant's have in common
	op  *sallyport.Operation  // nil: any
}

// subject is who the holder's requests count for.
func (h *holder) subject() *sallyport.Subject {
	s := &sallyport.Subject{
		API: h.c.API, Tenant: h.c.Tenant.ID, Credential: h.c.ID, Principal: h.c.Principal, Plan: h.c.PlanName(),
		Attributes: string(h.api.AppendAttributes(nil, h.c)),
	}
	if h.op != nil {
		s.Operation = h.op.Name
	}
	return s
}

// hold is one limit as it holds for a holder.
type hold struct {
	limit     *sallyport.Limit
	windows   sallyport.Windows
	from      sallyport.Source
	needs     []string
	unlimited bool
}

// charge returns what looks at the limit's counter; false where there is none
// that could be found.
func (h *hold) charge() (sallyport.Charge, bool) {
	counts := h.limit.Concurrency == 0 && !h.unlimited && len(h.needs) == 0
	return sallyport.Charge{Limit: h.limit, Windows: h.windows.List}, counts
}

// holds lists the limits that count requests of h, in the configuration's order.
func (h *holder) holds() (all []hold) {
	for _, l := range h.api.Limits {
		windows, from, counts := l.For(h.c, h.op)
		needs := h.needs(l)
		if !counts && !(slices.Contains(needs, needsKey) && h.mayCount(l)) {
			continue
		}
		all = append(all, hold{l, windows, from, needs, windows.Unlimited && l.Concurrency == 0})
	}
	return all
}

// needs says what h does not say and the counter of l is named by.
func (h *holder) needs(l *sallyport.Limit) (needs []string) {
	note := func(what string) {
		if !slices.Contains(needs, what) {
			needs = append(needs, what)
		}
	}
	for _, per := range l.Per {
		name, attribute := strings.CutPrefix(per, sallyport.PerAttribute)
		switch {
		case h.op == nil && per == "operation":
			note(needsOperation)
		case h.c.ID != "":
		case per == "credential", per == sallyport.PrincipalKey, attribute && h.c.Attribute(name) == "":
			note(needsKey)
		}
	}
	for _, is := range l.When.Attributes {
		if h.c.ID == "" && h.unmet(is) {
			note(needsKey)
		}
	}
	return needs
}

// unmet reports whether only a key can say that is holds: the tenant says
// nothing about the attribute.
func (h *holder) unmet(is sallyport.AttributeIs) bool {
	return h.c.Attribute(is.Name) == "" && !slices.Contains(is.Values, "")
}

// mayCount reports whether l counts requests of some key of the tenant, as far
// as the tenant tells.
func (h *holder) mayCount(l *sallyport.Limit) bool {
	known := *l
	known.Per = nil
	known.When.Attributes = slices.DeleteFunc(slices.Clone(l.When.Attributes), h.unmet)
	_, _, counts := known.For(h.c, h.op)
	return counts
}

// own reports whether the counter of l is that of the one whom h names alone:
// of the key or, without one, of the tenant.
func (h *holder) own(l *sallyport.Limit) bool {
	key := slices.Contains(l.Per, "credential") || slices.Contains(l.Per, sallyport.PrincipalKey)
	if h.c.ID != "" {
		return key
	}
	return !key && slices.Contains(l.Per, "tenant")
}

// standings fills in how windows and slots stand.
func standings(ctx context.Context, counters Limits, who *holder) ([]LimitStanding, error) {
	s, all := who.subject(), who.holds()
	var charges []sallyport.Charge
	for i := range all {
		if c, ok := all[i].charge(); ok {
			charges = append(charges, c)
		}
	}
	found, err := counters.Look(ctx, s, charges)
	if err != nil {
		return nil, err
	}
	shown := make([]LimitStanding, 0, len(all))
	for i := range all {
		one := showHold(&all[i])
		if l := all[i].limit; l.Concurrency > 0 && len(one.Needs) == 0 {
			n := counters.InFlight(s, l)
			one.Concurrency.InFlight = &n
		}
		if _, ok := all[i].charge(); ok {
			if len(found) < len(one.Windows) {
				return nil, fmt.Errorf("counters told less than the windows of limit %s", one.Name)
			}
			for j := range one.Windows {
				one.Windows[j].stand(&found[j])
			}
			found = found[len(one.Windows):]
		}
		shown = append(shown, one)
	}
	return shown, nil
}

// stand fills in what was found.
func (w *WindowStanding) stand(s *Standing) {
	reset := s.Reset.UTC()
	w.Used, w.Remaining, w.Reset = &s.Used, &s.Remaining, &reset
}

// showHold is h as it is shown before anybody has looked at its counter.
func showHold(h *hold) LimitStanding {
	l := h.limit
	one := LimitStanding{
		Name: l.Name, Per: append([]string{}, l.Per...), When: showCondition(&l.When), From: h.from.String(),
		Shadow: l.Shadow, Unlimited: h.unlimited, Needs: h.needs, Windows: []WindowStanding{},
	}
	if l.Concurrency > 0 {
		one.Concurrency = &ConcurrencyStanding{Max: l.Concurrency}
		return one
	}
	for _, w := range h.windows.List {
		one.Windows = append(one.Windows, WindowStanding{Window: w.String(), Limit: w.Size()})
	}
	return one
}

func showCondition(w *sallyport.When) *LimitCondition {
	c := LimitCondition{Category: w.Category, Access: w.Access.String(), Endpoint: w.Endpoint}
	for _, is := range w.Attributes {
		if c.Attributes == nil {
			c.Attributes = map[string][]string{}
		}
		c.Attributes[is.Name] = is.Values
	}
	if len(c.Category) == 0 && c.Access == "" && len(c.Endpoint) == 0 && c.Attributes == nil {
		return nil
	}
	return &c
}
