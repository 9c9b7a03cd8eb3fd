package sallyport

import "time"

// Decision is what was decided about one request. It is filled by one call of
// Decide and read by the encoder; a pooled Decision is reset with Reset.
type Decision struct {
	ID         uint64 // random; printed as 16 hex digits
	At         time.Time
	Reason     Reason
	Shadowed   Reason // what would have refused the request, where shadow mode let it pass
	Chain      Chain
	API        *API        // nil where the host is not listed
	Operation  *Operation  // nil where no operation matched
	Credential *Credential // whoever asks, also on a refusal; nil where not known
	Found      Credential  // what Credential may point to: it goes with d
	Subject    Subject
	Charges    []Charge
	Slots      []*Limit // limits of concurrency that hold
	Lease      bool     // slots are held until the request ends
	Hits       uint64   // what the request counts for, where it is counted
	Verdict    Verdict
	Over       string // the name of a limit in shadow that would have refused; "" for none
	RequestID  string
	Missing    string // the scope that was missing
	Address    string // where the request came from, for APIs that watch how credentials are used; as Request.Client has it
}

// Reset empties d and keeps its memory.
func (d *Decision) Reset() {
	*d = Decision{Charges: d.Charges[:0], Slots: d.Slots[:0]}
}

// Shadow reports whether d is about something that is in shadow mode. Our own
// endpoints never are: there is nobody behind the gate who would refuse.
func (d *Decision) Shadow() bool {
	if d.Operation != nil && d.Operation.Serve != "" {
		return false
	}
	return d.API != nil && d.API.Shadow || d.Operation != nil && d.Operation.Shadow
}

// Identify notes whose request it is, and which limits count it.
func (d *Decision) Identify(c *Credential, op *Operation) {
	d.Credential = c
	d.Subject = Subject{API: c.API, Tenant: c.Tenant.ID, Credential: c.ID, Principal: c.Principal, Plan: c.PlanName()}
	if len(d.API.PerAttributes) > 0 {
		d.Subject.Attributes = string(d.API.AppendAttributes(nil, c))
	}
	if op != nil {
		d.Subject.Operation = op.Name
	}
	d.Charges = d.API.AppendCharges(d.Charges, op, c)
	d.Slots = d.API.AppendSlots(d.Slots, op, c)
}
