package sallyport

import "time"

// Decision is what was decided about one request. It is filled by one call of
// Decide and read by the encoder; a pooled Decision is reset with Reset.
type Decision struct {
	ID         uint64 // random; printed as 16 hex digits
	At         time.Time
	Reason     Reason
	Chain      Chain
	API        *API        // nil where the host is not listed
	Operation  *Operation  // nil where no operation matched
	Credential *Credential // whoever asks, also on a refusal; nil where not known
	Subject    Subject
	Charges    []Charge
	Verdict    Verdict
	RequestID  string
	Missing    string // the scope that was missing
}

// Reset empties d and keeps its memory.
func (d *Decision) Reset() {
	*d = Decision{Charges: d.Charges[:0]}
}
