package admin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
)

// This file says which windows somebody may have of their own. It is pure.

const (
	maxWindows = 8 // of one limit
	unlimited  = "unlimited"
)

// checkLimits returns a tenant's own windows by the limit's name.
func checkLimits(f *faults, api *sallyport.API, limits map[string][]string) map[string][]sallyport.Window {
	all := make(map[string][]sallyport.Window, len(limits))
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		if !checkLimit(f, "body.limits", api, name) {
			continue
		}
		if windows := checkWindows(f, "body.limits."+name, limits[name]); len(windows) > 0 {
			all[name] = windows
		}
	}
	return all
}

// checkOverrides returns what somebody gets in place of what their plan says,
// by the limit's name.
func checkOverrides(f *faults, api *sallyport.API, overrides map[string][]string) map[string]sallyport.Windows {
	var all map[string]sallyport.Windows
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		if !checkLimit(f, "body.overrides", api, name) {
			continue
		}
		if all == nil {
			all = make(map[string]sallyport.Windows, len(overrides))
		}
		all[name] = checkOverride(f, "body.overrides."+name, overrides[name])
	}
	return all
}

// checkOverride returns one override: windows, or unlimited. Neither would be a
// ban, which is what states are for.
func checkOverride(f *faults, at string, texts []string) (w sallyport.Windows) {
	switch {
	case len(texts) == 0:
		f.at(at, "is empty: send windows such as 60/1m, or unlimited")
		return w
	case len(texts) == 1 && texts[0] == unlimited:
		return sallyport.Windows{Unlimited: true}
	case slices.Contains(texts, unlimited):
		f.at(at, "is unlimited and has windows as well; keep the one or the other")
		return w
	}
	return sallyport.Windows{List: checkWindows(f, at, texts)}
}

// checkLimit reports whether name is a limit of api that has windows.
func checkLimit(f *faults, at string, api *sallyport.API, name string) bool {
	var names []string
	for _, l := range api.Limits {
		if l.Concurrency == 0 {
			names = append(names, l.Name)
		}
	}
	if slices.Contains(names, name) {
		return true
	}
	if api.Limit(name) != nil {
		f.at(at, "%s counts requests in flight, and such a limit is the same for all; %s", quote(name), list(names))
		return false
	}
	f.at(at, "%s is not a limit of %s that has windows; %s", quote(name), api.Name, list(names))
	return false
}

// checkWindows returns the windows that texts say.
func checkWindows(f *faults, location string, texts []string) (windows []sallyport.Window) {
	if len(texts) > maxWindows {
		f.at(location, "has %d windows; at most %d are allowed", len(texts), maxWindows)
		return nil
	}
	for i, s := range texts {
		at := fmt.Sprintf("%s[%d]", location, i)
		w, err := readWindow(s)
		if err != nil {
			f.at(at, "%v", err)
			continue
		}
		if slices.ContainsFunc(windows, func(o sallyport.Window) bool { return o.Same(&w) }) {
			_, length, _ := strings.Cut(w.String(), "/")
			f.at(at, "is a second window of %s; keep one", length)
			continue
		}
		windows = append(windows, w)
	}
	return windows
}

// readWindow reads a window whose time zone exists.
func readWindow(s string) (w sallyport.Window, err error) {
	if w, err = sallyport.ParseWindow(s); err != nil {
		if quoted := quote(s); !strings.HasPrefix(quoted, `"`) {
			err = fmt.Errorf("%s is not a window", quoted) // it may be a secret in the wrong place
		}
		return w, fmt.Errorf("%w; %s", err, sallyport.WindowForm)
	}
	// Local is wherever the server stands, and would be another place tomorrow.
	if _, err := time.LoadLocation(w.Zone); err != nil || w.Zone == "Local" {
		return w, fmt.Errorf("%s is not a time zone that the server knows; write one such as Europe/Berlin, or none for UTC", quote(w.Zone))
	}
	return w, nil
}

// showWindows returns windows as JSON shows them.
func showWindows(windows []sallyport.Window) []string {
	shown := make([]string, len(windows))
	for i, w := range windows {
		shown[i] = w.String()
	}
	return shown
}

func showLimits(limits map[string][]sallyport.Window) map[string][]string {
	shown := make(map[string][]string, len(limits))
	for name, windows := range limits {
		if len(windows) > 0 {
			shown[name] = showWindows(windows)
		}
	}
	return shown
}

func showOverrides(overrides map[string]sallyport.Windows) map[string][]string {
	shown := make(map[string][]string, len(overrides))
	for name, w := range overrides {
		shown[name] = showWindows(w.List)
		if w.Unlimited {
			shown[name] = []string{unlimited}
		}
	}
	return shown
}
