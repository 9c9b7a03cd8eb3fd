package sallyport

import (
	"errors"
	"strconv"
	"strings"
)

// Errors that cross rooms. A store wraps ErrNotFound for what does not exist
// or belongs to another tenant, ErrConflict for what exists already, and ErrReused
// for what is good once and comes again. ErrIssuerDown is of tokens whose issuer
// could not be asked.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("already exists")
	ErrFinal    = errors.New("is revoked, which is final")
	ErrReused   = errors.New("was used before")

	ErrIssuerDown = errors.New("the issuer of the token cannot be asked")
)

// AtIndex is an error about one item of a list, counted from 0.
type AtIndex struct {
	Index int
	Err   error
}

func (e AtIndex) Error() string { return "item " + strconv.Itoa(e.Index) + ": " + e.Err.Error() }
func (e AtIndex) Unwrap() error { return e.Err }

// AtIndexes returns every AtIndex that err holds, also where it joins several
// errors.
func AtIndexes(err error) (all []AtIndex) {
	switch e := err.(type) {
	case AtIndex:
		return []AtIndex{e}
	case interface{ Unwrap() error }:
		return AtIndexes(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			all = append(all, AtIndexes(one)...)
		}
	}
	return all
}

// Fault is one thing that is wrong with an operator's input: where, what, and
// what would be right.
type Fault struct {
	File string
	Line int
	Path string // such as apis.orders.limits[0].per
	Text string
	Hint string // the allowed values or the cure; "" where there is none
}

// String returns the fault in one line: file:line: path: text (hint).
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(f.Line))
	}
	for _, part := range []string{f.Path, f.Text} {
		if part != "" {
			b.WriteString(": ")
			b.WriteString(part)
		}
	}
	if f.Hint != "" {
		b.WriteString(" (" + f.Hint + ")")
	}
	return b.String()
}

// RefusesAnyway reports whether err, of counters that could not be asked, is to
// refuse the request whatever its API says of such failures.
func RefusesAnyway(err error) bool {
	var closed interface{ Closed() bool }
	return errors.As(err, &closed) && closed.Closed()
}
