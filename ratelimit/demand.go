package ratelimit

import (
	"errors"
	"fmt"
	"strconv"

	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"

	"github.com/sallyport/sallyport"
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

// understand reads what req asks: the subject and its charges from the
// descriptor that Check's metadata became, the request id and the sid from the
// carrier. Other domains and descriptors are nobody's rule and limit nothing.
func (r *rules) understand(req *rlsv3.RateLimitRequest) (d demand, err error) {
	if req.GetDomain() == "" {
		return d, errNoDomain
	}
	if len(req.GetDescriptors()) == 0 {
		return d, errNoDescriptors
	}
	if len(req.Descriptors) > mostDescriptors {
		return d, errManyEntries
	}
	if req.Domain != sallyport.Domain {
		d.foreign = true
		return d, nil
	}
	for _, descriptor := range req.Descriptors {
		entries := descriptor.GetEntries()
		switch {
		case len(entries) == 0:
			return d, errNoDescriptors
		case len(entries) > mostEntries:
			return d, errManyEntries
		case isSubject(descriptor):
			if err := d.readSubject(r, req, descriptor); err != nil {
				return d, err
			}
		default:
			d.readCarrier(entries)
		}
	}
	return d, nil
}

// readSubject reads the descriptor of Check's metadata.
func (d *demand) readSubject(r *rules, req *rlsv3.RateLimitRequest, descriptor *ratelimitv3.RateLimitDescriptor) error {
	if d.api != nil {
		return errTwoSubjects
	}
	var limits, hits string
	for _, e := range descriptor.Entries {
		field := d.field(e.GetKey(), &limits, &hits)
		if field == nil {
			continue
		}
		if *field != "" {
			return fmt.Errorf("%w: %s", errRepeatedEntry, e.GetKey())
		}
		*field = e.GetValue()
	}
	if d.subject.Principal == "" {
		d.subject.Principal = d.subject.Credential
	}
	if d.api = r.apis[d.subject.API]; d.api == nil {
		return errUnknownAPI
	}
	var windows []sallyport.Window
	var err error
	d.charges, err = sallyport.ParseLimits(nil, &windows, limits, func(name string) *sallyport.Limit { return d.api.limits[name] })
	if err != nil {
		return err
	}
	if hits != "" {
		if d.hits, err = strconv.ParseUint(hits, 10, 64); err != nil {
			return errHits
		}
	}
	d.hits = d.addend(req, descriptor)
	if d.hits > sallyport.MaxRate {
		return errAddendTooLarge
	}
	return nil
}

// field returns where the entry called key belongs, nil where nowhere.
func (d *demand) field(key string, limits, hits *string) *string {
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
func (d *demand) addend(req *rlsv3.RateLimitRequest, descriptor *ratelimitv3.RateLimitDescriptor) uint64 {
	if h := descriptor.GetHitsAddend(); h != nil {
		return h.GetValue()
	}
	if req.GetHitsAddend() > 0 {
		return uint64(req.GetHitsAddend())
	}
	if d.hits > 0 {
		return d.hits
	}
	if op := d.api.operations[d.subject.Operation]; op != nil {
		return op.Weight
	}
	return 1
}

func (d *demand) readCarrier(entries []*ratelimitv3.RateLimitDescriptor_Entry) {
	for _, e := range entries {
		switch e.GetKey() {
		case sallyport.CarrierRequestID:
			d.requestID = e.GetValue()
		case sallyport.CarrierSID:
			d.sid = e.GetValue()
		}
	}
}
