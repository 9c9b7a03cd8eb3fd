package ratelimit

import (
	"context"
	"log/slog"
	"strconv"

	"github.com/sallyport/sallyport"
)

// Spend takes what the answer to a request told that it counts for, beyond what
// was taken when it came. It has happened: it is taken whether it fits or not.
func (s *Server) Spend(ctx context.Context, spent Spent) {
	api := s.rules.Load().apis[spent.Metadata(sallyport.SubjectKeys[0])]
	if api == nil {
		return // no longer there
	}
	var subject sallyport.Subject
	for i, key := range sallyport.SubjectKeys {
		*subject.Field(i) = spent.Metadata(key)
	}
	if subject.Principal == "" {
		subject.Principal = subject.Credential
	}
	op := api.operations[subject.Operation]
	if op == nil || op.Cost.Response == "" {
		return
	}
	taken := op.Weight
	if n, err := strconv.ParseUint(spent.Metadata(sallyport.HitsKey), 10, 64); err == nil {
		taken = n
	}
	hits := min(spent.Hits, op.Cost.Max)
	if hits <= taken {
		return
	}
	var windows []sallyport.Window
	charges, err := sallyport.ParseLimits(nil, &windows, spent.Metadata(sallyport.LimitsKey), func(name string) *sallyport.Limit { return api.limits[name] })
	if err == nil && len(charges) > 0 {
		err = s.counters.Force(ctx, Call{Now: s.now(), SID: spent.SID, Subject: &subject, Charges: charges, Hits: hits - taken})
	}
	if err != nil {
		slog.ErrorContext(ctx, "an answer's cost was not counted", "api", api.Name, "error", err)
	}
}
