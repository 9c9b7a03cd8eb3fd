package ratelimit

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/ratelimit/directory"
)

var (
	errNoDomain       = errors.New("domain is empty")
	errNoDescriptors  = errors.New("descriptors are empty")
	errTwoSubjects    = errors.New("more than one descriptor names an api")
	errUnknownAPI     = errors.New("descriptor names an api that is not configured")
	errManyEntries    = errors.New("too many descriptors or entries")
	errRepeatedEntry  = errors.New("descriptor names an entry twice")
	errHits           = errors.New("hits are not a number")
	errAddendTooLarge = errors.New("hits_addend is too large")
)

const (
	mostDescriptors = 100
	mostEntries     = 100
)

// demand is a question understood.
type demand struct {
	api       *apiRules
	subject   sallyport.Subject
	charges   []sallyport.Charge
	windows   []sallyport.Window // of charges
	hits      uint64
	requestID string
	sid       string
	foreign   bool // the domain is not ours
}

// reset empties d and keeps its memory.
func (d *demand) reset() {
	clear(d.charges)
	clear(d.windows)
	*d = demand{charges: d.charges[:0], windows: d.windows[:0]}
}

// understand reads into d, which is empty, what q asks: the subject and its
// charges from the descriptor that Check's metadata became, the request id and
// the sid from the carrier. Other domains and descriptors are nobody's rule and
// limit nothing.
func (r *rules) understand(q *question, d *demand) error {
	if q.domain == "" {
		return errNoDomain
	}
	if len(q.descriptors) == 0 {
		return errNoDescriptors
	}
	if q.domain != sallyport.Domain {
		d.foreign = true
		return nil
	}
	for i := range q.descriptors {
		entries := q.of(&q.descriptors[i])
		switch {
		case len(entries) == 0:
			return errNoDescriptors
		case isSubject(entries):
			if err := d.readSubject(r, q, &q.descriptors[i]); err != nil {
				return err
			}
		default:
			d.readCarrier(entries)
		}
	}
	return nil
}

// readSubject reads the descriptor of Check's metadata.
func (d *demand) readSubject(r *rules, q *question, from *descriptor) error {
	if d.api != nil {
		return errTwoSubjects
	}
	var limits, hits string
	for i, e := range q.of(from) {
		field := d.field(i, e.Key, &limits, &hits)
		if field == nil {
			continue
		}
		if *field != "" {
			return fmt.Errorf("%w: %s", errRepeatedEntry, e.Key)
		}
		*field = e.Value
	}
	if d.subject.Principal == "" {
		d.subject.Principal = d.subject.Credential
	}
	if d.api = r.apis[d.subject.API]; d.api == nil {
		return errUnknownAPI
	}
	var err error
	d.charges, err = sallyport.ParseLimits(d.charges, &d.windows, limits, func(name string) *sallyport.Limit { return d.api.limits[name] })
	if err != nil {
		return err
	}
	if hits != "" {
		if d.hits, err = strconv.ParseUint(hits, 10, 64); err != nil {
			return errHits
		}
	}
	d.hits = d.addend(q, from)
	if d.hits > sallyport.MaxRate {
		return errAddendTooLarge
	}
	return nil
}

// field returns where the entry called key, the i-th, belongs; nil where nowhere.
func (d *demand) field(i int, key string, limits, hits *string) *string {
	if i < len(sallyport.SubjectKeys) && sallyport.SubjectKeys[i] == key {
		return d.subject.Field(i) // most stand in their order
	}
	switch key {
	case sallyport.LimitsKey:
		return limits
	case sallyport.HitsKey:
		return hits
	}
	for i, k := range sallyport.SubjectKeys {
		if k == key {
			return d.subject.Field(i)
		}
	}
	return nil
}

// addend returns how many hits the request counts for: what Envoy says for the
// descriptor (0 is a peek), else for the request, else what Check found in the
// request, else the operation's weight.
func (d *demand) addend(q *question, from *descriptor) uint64 {
	if from.told {
		return from.hits
	}
	if q.hits > 0 {
		return uint64(q.hits)
	}
	if d.hits > 0 {
		return d.hits
	}
	if op := d.api.operations[d.subject.Operation]; op != nil {
		return op.Weight
	}
	return 1
}

func (d *demand) readCarrier(entries []directory.Entry) {
	for _, e := range entries {
		switch e.Key {
		case sallyport.CarrierRequestID:
			d.requestID = e.Value
		case sallyport.CarrierSID:
			d.sid = e.Value
		}
	}
}
