package store

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sallyport/sallyport"
)

// window is a sallyport.Window as it is kept. It is not the text that operators
// write: a store keeps whatever the vocabulary can hold, also a window that lets
// nothing through.
type window struct {
	Max       uint64 `json:"max"`
	Seconds   int64  `json:"seconds"`
	Burst     uint32 `json:"burst,omitempty"` // percent
	Calendar  string `json:"calendar,omitempty"`
	Zone      string `json:"zone,omitempty"`
	Algorithm string `json:"algorithm,omitempty"` // "": as usual
}

var algorithms = [...]string{sallyport.Fixed: "fixed", sallyport.Sliding: "sliding", sallyport.Bucket: "bucket"}

// usual is how w counts where that is not said, as in all rows that were written
// when a window's burst alone told: a bucket where there is one.
func (w window) usual() sallyport.Algorithm {
	if w.Burst > 0 {
		return sallyport.Bucket
	}
	return sallyport.Fixed
}

func newWindow(w sallyport.Window) (window, error) {
	kept := window{Max: w.Max, Seconds: int64(w.Length / time.Second), Burst: w.Burst, Calendar: w.Calendar.String(), Zone: w.Zone}
	switch {
	case w.Length < 0 || w.Length%time.Second != 0:
		return kept, fmt.Errorf("has a window of %v: a window is whole seconds", w.Length)
	case w.Calendar != sallyport.NoCalendar && kept.Calendar == "":
		return kept, errors.New("has a window of a calendar that is none")
	case int(w.Algorithm) >= len(algorithms):
		return kept, errors.New("has a window of an algorithm that is none")
	}
	if w.Algorithm != kept.usual() {
		kept.Algorithm = algorithms[w.Algorithm]
	}
	return kept, CheckText(w.Zone)
}

// value is the inverse of newWindow. It refuses what it does not know: another
// window than was meant may be a wider one.
func (w window) value() (v sallyport.Window, err error) {
	if w.Seconds < 0 || w.Seconds > int64(math.MaxInt64/time.Second) {
		return v, fmt.Errorf("has a window of %d seconds", w.Seconds)
	}
	v = sallyport.Window{Max: w.Max, Length: time.Duration(w.Seconds) * time.Second, Zone: w.Zone, Burst: w.Burst}
	if v.Calendar, err = decodeCalendar(w.Calendar); err != nil {
		return v, err
	}
	if w.Algorithm == "" {
		v.Algorithm = w.usual()
		return v, nil
	}
	for a, name := range algorithms {
		if name == w.Algorithm {
			v.Algorithm = sallyport.Algorithm(a)
			return v, nil
		}
	}
	return v, fmt.Errorf("has a window whose algorithm %q is not one of fixed, sliding, bucket", w.Algorithm)
}

func decodeCalendar(text string) (sallyport.Calendar, error) {
	for _, c := range []sallyport.Calendar{sallyport.NoCalendar, sallyport.Day, sallyport.Week, sallyport.Month} {
		if text == c.String() {
			return c, nil
		}
	}
	return 0, fmt.Errorf("has a window whose calendar %q is not one of day, week, month", text)
}

func newWindows(list []sallyport.Window) ([]window, error) {
	kept := make([]window, 0, len(list)) // [] and never null
	for _, w := range list {
		one, err := newWindow(w)
		if err != nil {
			return nil, err
		}
		kept = append(kept, one)
	}
	return kept, nil
}

func windowValues(kept []window) (list []sallyport.Window, err error) {
	for _, w := range kept {
		one, err := w.value()
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

func encodeLimits(limits map[string][]sallyport.Window) (string, error) {
	return encodeNamed("limit", limits, newWindows)
}

func decodeLimits(text string) (map[string][]sallyport.Window, error) {
	return decodeNamed("limit", text, windowValues)
}

// override is what a limit is replaced with, as it is kept: windows, none of
// which lets nothing through, or unlimited.
type override struct {
	Windows   []window `json:"windows,omitzero"`
	Unlimited bool     `json:"unlimited,omitempty"`
}

var errOverride = errors.New("has both windows and unlimited; an override is one of them")

func newOverride(w sallyport.Windows) (o override, err error) {
	switch {
	case w.FromTenant:
		return o, errors.New("is the tenant's own again; an override has windows or is unlimited")
	case w.Unlimited && len(w.List) > 0:
		return o, errOverride
	case w.Unlimited:
		return override{Unlimited: true}, nil
	}
	o.Windows, err = newWindows(w.List)
	return o, err
}

func (o override) value() (w sallyport.Windows, err error) {
	if o.Unlimited && len(o.Windows) > 0 {
		return w, errOverride
	}
	w.Unlimited = o.Unlimited
	w.List, err = windowValues(o.Windows)
	return w, err
}

func encodeOverrides(overrides map[string]sallyport.Windows) (string, error) {
	return encodeNamed("override", overrides, newOverride)
}

func decodeOverrides(text string) (map[string]sallyport.Windows, error) {
	return decodeNamed("override", text, override.value)
}

// encodeNamed keeps what is there by the names of limits; what says in errors
// what it is.
func encodeNamed[V, K any](what string, values map[string]V, keep func(V) (K, error)) (string, error) {
	if len(values) == 0 {
		return "{}", nil
	}
	kept := make(map[string]K, len(values))
	for name, v := range values {
		if err := CheckText(name); err != nil {
			return "", fmt.Errorf("%ss: %w", what, err)
		}
		one, err := keep(v)
		if err != nil {
			return "", fmt.Errorf("%s %q %w", what, name, err)
		}
		kept[name] = one
	}
	return encode(kept)
}

// decodeNamed is the inverse of encodeNamed.
func decodeNamed[V, K any](what, text string, value func(K) (V, error)) (map[string]V, error) {
	kept, err := decodeMap[K](text)
	if err != nil {
		return nil, fmt.Errorf("%ss: %w", what, err)
	}
	if kept == nil {
		return nil, nil
	}
	values := make(map[string]V, len(kept))
	for name, one := range kept {
		if values[name], err = value(one); err != nil {
			return nil, fmt.Errorf("%s %q %w", what, name, err)
		}
	}
	return values, nil
}
