package config

import (
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
)

// windows compiles what stands at path.
func (a *api) windows(path string, in Windows) sallyport.Windows {
	out := sallyport.Windows{FromTenant: in.FromTenant, Unlimited: in.Unlimited}
	for i := range in.List {
		at := index(path, i)
		if !a.has(at) {
			at = path // one window, written without brackets
		}
		w := a.window(at, &in.List[i])
		if w.Max > 0 && slices.ContainsFunc(out.List, func(v sallyport.Window) bool { return v.Max > 0 && v.Same(&w) }) {
			a.add(at, "has the same length and algorithm as a window before it", "keep the smaller one")
		}
		out.List = append(out.List, w)
	}
	return out
}

// window puts together what a mapping says apart.
func (a *api) window(path string, in *Window) sallyport.Window {
	w := sallyport.Window(in.Rate)
	burst, zone, algorithm := field(path, "burst"), field(path, "zone"), field(path, "algorithm")
	if a.has(field(path, "rate")) && (w.Algorithm != sallyport.Fixed || w.Zone != "") {
		a.add(field(path, "rate"), "says more than how many in what time", "write burst, algorithm and zone beside it")
		return w
	}
	if in.Zone != "" {
		w.Zone = in.Zone
	}
	if a.has(burst) {
		w.Algorithm, w.Burst = sallyport.Bucket, uint32(in.Burst)
	}
	if a.oneOf(algorithm, "algorithm", in.Algorithm, "fixed", "sliding", "bucket") {
		w.Algorithm = algorithmOf(in.Algorithm, w.Algorithm)
	}
	switch {
	case w.Max == 0: // told by the decoder
	case a.has(burst) && w.Calendar != sallyport.NoCalendar:
		a.add(burst, "stands beside a period of the calendar", "a burst is for a length of time, such as 1000/24h")
	case a.has(burst) && w.Algorithm != sallyport.Bucket:
		a.add(burst, "stands beside algorithm "+in.Algorithm, "a burst is for algorithm bucket")
	case w.Calendar != sallyport.NoCalendar && w.Algorithm != sallyport.Fixed:
		a.add(algorithm, in.Algorithm+" stands beside a period of the calendar", "periods are fixed; write a length of time, such as 1000/24h")
	case w.Calendar == sallyport.NoCalendar && w.Zone != "":
		a.add(zone, "stands beside a length of time, which is the same everywhere", "a time zone is for 1000/day, 1000/week or 1000/month")
	}
	if !a.has(zone) {
		zone = path
	}
	a.zone(zone, w.Zone)
	return w
}

func algorithmOf(word string, usual sallyport.Algorithm) sallyport.Algorithm {
	switch word {
	case "fixed":
		return sallyport.Fixed
	case "sliding":
		return sallyport.Sliding
	case "bucket":
		return sallyport.Bucket
	}
	return usual
}

// zone checks that a time zone exists. Local is not one: the same file would
// mean another thing on another machine.
func (a *api) zone(path, name string) {
	if name == "" {
		return
	}
	_, err := sallyport.ParseWindow("1/day@" + name)
	if err == nil {
		_, err = time.LoadLocation(name)
	}
	if err != nil || strings.EqualFold(name, "local") {
		a.add(path, "time zone "+quote(name)+" does not exist", "write an IANA name such as Europe/Berlin; without one it is UTC")
	}
}
