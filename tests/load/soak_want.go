package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// outcome is what a caller is told: the status, and of a refusal the code.
type outcome struct {
	status int
	code   string
}

func (o outcome) String() string { return strings.TrimSpace(fmt.Sprint(o.status, " ", o.code)) }

// The outcomes that there are in the soak. Any other is wrong.
var (
	passes    = outcome{http.StatusOK, ""}
	unknown   = outcome{http.StatusUnauthorized, "unauthorized"}
	narrow    = outcome{http.StatusForbidden, "forbidden"}
	nowhere   = outcome{http.StatusNotFound, "not_found"}
	exhausted = outcome{http.StatusTooManyRequests, "rate_limited"}
)

// wanted is what a request must get in each age of the configuration.
type wanted func(age int) outcome

// always is what does not depend on the configuration.
func always(o outcome) wanted { return func(int) outcome { return o } }

// inOddAges passes in those alone, as an operation that is listed then only.
func inOddAges(age int) outcome {
	if age%2 == 1 {
		return passes
	}
	return nowhere
}

// ages are the configurations that may be in force: one, or while it changes one
// of two. Safe for concurrent use; the zero value is the age 0 alone.
type ages struct {
	mu          sync.Mutex // guards both
	least, most int
}

func (a *ages) now() (least, most int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.least, a.most
}

// begin returns the next age, which may be in force from now on.
func (a *ages) begin() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.most++
	return a.most
}

// settle says that the last age is in force, and none before it any more.
func (a *ages) settle() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.least = a.most
}

// told is an answer as far as it is judged.
type told struct {
	outcome
	age   int    // of the configuration that refused
	fault string // what is wrong with it in itself; "" for nothing
	dump  func() string
}

// read takes in an answer of the chain to its end.
func read(answer *http.Response) (told, error) {
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if err != nil {
		return told{}, fmt.Errorf("read an answer: %w", err)
	}
	t := told{outcome: outcome{status: answer.StatusCode}, dump: func() string { return dumpAnswer(answer, body) }}
	if t.outcome == passes {
		t.fault = answerFault(answer, string(body), true)
		return t, nil
	}
	var refusal struct {
		Error struct {
			Code string `json:"code"`
			Age  int    `json:"age"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &refusal); err != nil || refusal.Error.Code == "" {
		t.fault = "a refusal that is not in the API's shape"
	}
	t.code, t.age = refusal.Error.Code, refusal.Error.Age
	return t, nil
}

// question is a request, and what it must get.
type question struct {
	method, path, key string
	want              wanted
	or                outcome // is right too; the zero value is none
}

// judge says why got is not what q must get if it was sent when least was the
// oldest configuration in force, and answered when most was the newest.
func (q *question) judge(got told, least, most int) error {
	fault := got.fault
	switch {
	case fault != "":
	case got.outcome != passes && (got.age < least || got.age > most):
		fault = fmt.Sprintf("refused by configuration %d, where %d to %d may be in force", got.age, least, most)
	case got.outcome != passes && got.outcome != q.want(got.age) && got.outcome != q.or:
		fault = fmt.Sprintf("got %s, want %s under configuration %d", got.outcome, q.want(got.age), got.age)
	case got.outcome == passes && !q.passesIn(least, most):
		fault = fmt.Sprintf("it passed, want %s under configuration %d to %d", q.want(least), least, most)
	default:
		return nil
	}
	return fmt.Errorf("%s:\n%s", fault, got.dump())
}

func (q *question) passesIn(least, most int) bool {
	for age := least; age <= most; age++ {
		if q.want(age) == passes {
			return true
		}
	}
	return false
}

// ledger is what came of the soak. Safe for concurrent use.
type ledger struct {
	enough func() // called when there are so many faults that more tell nothing new

	mu       sync.Mutex // guards all below
	answers  map[outcome]int
	events   map[string]int
	took     []time.Duration
	rejoined []time.Duration // of the gate, after Redis answered again
	faults   []string
	failed   int
}

const mostFaults = 10

func newLedger(enough func()) *ledger {
	return &ledger{enough: enough, answers: make(map[outcome]int), events: make(map[string]int)}
}

func (l *ledger) answer(o outcome, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[o]++
	l.took = append(l.took, took)
}

func (l *ledger) event(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events[what]++
}

func (l *ledger) joined(after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rejoined = append(l.rejoined, after)
}

// fault notes what must not be. The first are kept in full.
func (l *ledger) fault(where string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed++; len(l.faults) < mostFaults {
		l.faults = append(l.faults, fmt.Sprintf("%s %s: %v", time.Now().UTC().Format(time.TimeOnly), where, err))
	}
	if l.failed == mostFaults {
		l.enough()
	}
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// writeTo says what came of it, apart from memory.
func (l *ledger) writeTo(w io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(w, "%d answers, each checked:", len(l.took))
	for _, o := range slices.SortedFunc(maps.Keys(l.answers), func(a, b outcome) int { return cmp.Or(a.status-b.status, strings.Compare(a.code, b.code)) }) {
		fmt.Fprintf(w, " %s ×%d;", o, l.answers[o])
	}
	fmt.Fprintf(w, " p50 %s ms, p99 %s ms, longest %s ms\nmeanwhile:", millis(quantile(l.took, 0.5)), millis(quantile(l.took, 0.99)), millis(quantile(l.took, 1)))
	for _, what := range slices.Sorted(maps.Keys(l.events)) {
		fmt.Fprintf(w, " %s ×%d;", what, l.events[what])
	}
	fmt.Fprintf(w, " the gate used Redis again after %s ms, at longest %s ms\n", millis(quantile(l.rejoined, 0.5)), millis(quantile(l.rejoined, 1)))
	fmt.Fprintf(w, "faults: %d\n", l.failed)
	for _, fault := range l.faults {
		fmt.Fprintln(w, "  "+strings.ReplaceAll(fault, "\n", "\n    "))
	}
}
