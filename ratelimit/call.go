package ratelimit

import (
	"sync"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/render"
	"github.com/sallyport/sallyport/ratelimit/directory"
)

// call is one question to the rate limit service from its bytes to its answer's
// bytes: a wire.Message. It is used again, so that a call costs one allocation:
// the copy of the message, whose parts may be kept by whoever counts.
type call struct {
	question  question
	malformed error // why question cannot be trusted
	demand    demand
	reply     reply
	text      render.Text // holds the short strings of the answer
	asked     []asked     // of domains that are not ours
	tallies   []Tally
	names     []byte // of their counters
}

// String keeps who asks out of whatever prints.
func (*call) String() string { return "rate limit" }

var calls = sync.Pool{New: func() any { return new(call) }}

func newCall() *call { return calls.Get().(*call) }

// Read decodes Envoy's question.
func (c *call) Read(msg []byte) { c.malformed = c.question.decode(msg) }

// Append encodes the answer.
func (c *call) Append(dst []byte) []byte { return c.reply.append(dst) }

// Release empties c and puts it back. A call whose answer is encoded is
// released; one that the handler does not return as its answer, the handler
// releases.
func (c *call) Release() {
	c.question.reset()
	c.demand.reset()
	c.reply.reset()
	c.text.Reset()
	clear(c.asked)
	clear(c.tallies)
	c.malformed, c.asked, c.tallies, c.names = nil, c.asked[:0], c.tallies[:0], c.names[:0]
	if cap(c.question.entries) <= maxKept && cap(c.demand.windows) <= maxKept && cap(c.demand.charges) <= maxKept && cap(c.names) <= maxKeptText && c.text.Cap() <= maxKeptText {
		calls.Put(c)
	}
}

// What a released call may keep, so that one huge request does not stay in
// the pool for good.
const (
	maxKept     = 256
	maxKeptText = 64 << 10
)

// allow makes the answer that of a request of which nothing is limited.
func (c *call) allow() {
	c.reply.code = codeOK
	for range c.question.descriptors {
		c.reply.statuses = append(c.reply.statuses, status{code: codeOK})
	}
}

func (c *call) grant(v *sallyport.Verdict, now time.Time) {
	c.tell(v, now)
	if v.Shadow != "" {
		c.word("shadow", v.Shadow)
	}
	c.reply.headers = render.AppendQuota(c.reply.headers, &c.demand.api.Headers, v, now, &c.text)
}

func (c *call) refuse(v *sallyport.Verdict, now time.Time) {
	c.reply.code = codeOver
	c.tell(v, now)
	d := &c.demand
	vars := render.Vars{
		RequestID: d.requestID, API: d.subject.API, Tenant: d.subject.Tenant, Credential: d.subject.Credential,
		Principal: d.subject.Principal, Plan: d.subject.Plan, Operation: d.subject.Operation,
		Limit: v.Limit, Remaining: v.Remaining, Reset: v.Reset.Unix(), Now: now,
	}
	r := d.api.answers.Refuse(sallyport.KindRateLimited, &vars, v, now, c.reply.headers, &c.text)
	c.reply.headers, c.reply.body = r.Headers, r.Body
	c.word("rule", v.Rule)
	c.word("window", v.Window.String())
	c.word("reason", sallyport.QuotaExhausted.String())
}

// word adds what access logs and other filters may know of the answer, under
// envoy.filters.http.ratelimit.
func (c *call) word(name, value string) {
	c.reply.words = append(c.reply.words, sallyport.Header{Name: name, Value: value})
}

// tell fills the status of the descriptor that was limited, so that Envoy's
// own headers and statistics work too.
func (c *call) tell(v *sallyport.Verdict, now time.Time) {
	for i := range c.question.descriptors {
		if !isSubject(c.question.of(&c.question.descriptors[i])) {
			continue
		}
		st := &c.reply.statuses[i]
		st.code = c.reply.code
		st.remaining = uint32(min(v.Remaining, 1<<32-1))
		st.until, st.resets = v.Reset.Sub(now), true
		st.limit, st.limited = currentLimit(v.Rule, v.Limit, &v.Window), true
	}
}

// currentLimit says what allowance a window is, in Envoy's units: a length that
// is none of them is so many of the largest that fits.
func currentLimit(name string, most uint64, w *sallyport.Window) allowance {
	a := allowance{name: name, requests: uint32(min(most, 1<<32-1))}
	switch w.Calendar {
	case sallyport.Day:
		a.unit = unitDay
	case sallyport.Week:
		a.unit = unitWeek
	case sallyport.Month:
		a.unit = unitMonth
	}
	for _, u := range envoyUnits {
		if n := w.Length / u.length; a.unit == unitUnknown && n > 0 && w.Length%u.length == 0 {
			a.unit = u.unit
			if n > 1 {
				a.multiplier = uint32(n)
			}
		}
	}
	return a
}

// envoyUnits are Envoy's units of one length, the longest first.
var envoyUnits = [...]struct {
	unit   unit
	length time.Duration
}{
	{unitDay, 24 * time.Hour},
	{unitHour, time.Hour},
	{unitMinute, time.Minute},
	{unitSecond, time.Second},
}

// asWritten is the unit of a rule, and how many of it, as its author has them.
func asWritten(r *directory.Rule) (_ unit, multiplier uint32) {
	if r.Multiplier > 1 {
		multiplier = r.Multiplier
	}
	return [...]unit{
		directory.Second: unitSecond,
		directory.Minute: unitMinute,
		directory.Hour:   unitHour,
		directory.Day:    unitDay,
		directory.Week:   unitWeek,
		directory.Month:  unitMonth,
		directory.Year:   unitYear,
	}[r.Unit], multiplier
}

func isSubject(entries []directory.Entry) bool {
	return len(entries) > 0 && entries[0].Key == sallyport.SubjectKeys[0]
}
