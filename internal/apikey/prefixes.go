package apikey

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/sallyport/sallyport"
)

// Why a string is not a key. They never quote it.
var (
	ErrUnknownPrefix = errors.New("key has no registered prefix")
	ErrMalformed     = errors.New("key has the wrong length or alphabet")
	ErrChecksum      = errors.New("key has a wrong checksum")
)

// Prefixes are the registered forms of one API's keys, compiled for Parse. The
// zero value knows none. It is immutable and safe for concurrent use.
type Prefixes struct {
	sorted []registered // by prefix
}

type registered struct {
	form *sallyport.KeyForm
	// shorter is the index of the longest other registered prefix that this
	// one begins with, or -1.
	shorter int
}

// Compile registers forms, which must not change any more: Parse returns
// pointers to them. All faults are reported at once.
func Compile(forms []sallyport.KeyForm) (*Prefixes, error) {
	p := &Prefixes{}
	var faults []error
	for i := range forms {
		if err := checkPrefix(forms[i].Prefix); err != nil {
			faults = append(faults, err)
			continue
		}
		p.sorted = append(p.sorted, registered{form: &forms[i], shorter: -1})
	}
	slices.SortStableFunc(p.sorted, func(a, b registered) int {
		return cmp.Compare(a.form.Prefix, b.form.Prefix)
	})
	faults = append(faults, p.link()...)
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return p, nil
}

// link fills in shorter. In sorted order a prefix stands behind those that it
// begins with, so the one before it, or one of that one's, is what it needs.
func (p *Prefixes) link() (faults []error) {
	for i := 1; i < len(p.sorted); i++ {
		own := p.sorted[i].form.Prefix
		at := i - 1
		for at >= 0 && !strings.HasPrefix(own, p.sorted[at].form.Prefix) {
			at = p.sorted[at].shorter
		}
		p.sorted[i].shorter = at
		if at < 0 {
			continue
		}
		switch short := p.sorted[at].form.Prefix; {
		case short == own:
			faults = append(faults, fmt.Errorf("prefix %q is registered twice", own))
		case ambiguous(short, own):
			faults = append(faults, fmt.Errorf("a key under prefix %q could begin with %q; end prefixes in a character outside 0-9A-Za-z, such as _", short, own))
		}
	}
	return faults
}

// Parse returns the form of the longest registered prefix of raw, if what
// follows has that form's shape and checksum; else one of the errors above. It
// says nothing about whether the key was ever issued.
func (p *Prefixes) Parse(raw string) (*sallyport.KeyForm, error) {
	form := p.match(raw)
	if form == nil {
		return nil, ErrUnknownPrefix
	}
	body := raw[len(form.Prefix):]
	if form.LegacyBody {
		// Our own keys have this shape too. Their checksum is not asked
		// for: an imported secret may look like them and have none.
		if !isImportable(body) {
			return nil, ErrMalformed
		}
		return form, nil
	}
	if len(body) != bodyLength+checkLength || !isBase62(body) {
		return nil, ErrMalformed
	}
	end := len(raw) - checkLength
	if checkValue(raw[end:]) != uint64(checksum(raw[:end])) {
		return nil, ErrChecksum
	}
	return form, nil
}

// Importable returns the form of the longest registered prefix of raw, if raw
// has a shape that imported keys may have, which needs no checksum; else nil.
func (p *Prefixes) Importable(raw string) *sallyport.KeyForm {
	form := p.match(raw)
	if form == nil || !isImportable(raw[len(form.Prefix):]) {
		return nil
	}
	return form
}

func isImportable(body string) bool {
	return len(body) >= minLegacy && len(body) <= maxLegacy && isToken(body)
}

// match finds the longest registered prefix of raw. It is the last one that
// does not sort behind raw, or one of those which that begins with: whatever
// sorts between a prefix of raw and raw itself begins with that prefix.
func (p *Prefixes) match(raw string) *sallyport.KeyForm {
	at := sort.Search(len(p.sorted), func(i int) bool {
		return p.sorted[i].form.Prefix > raw
	}) - 1
	for at >= 0 {
		r := p.sorted[at]
		if strings.HasPrefix(raw, r.form.Prefix) {
			return r.form
		}
		at = r.shorter
	}
	return nil
}
