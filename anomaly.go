package sallyport

import "time"

// Anomaly is a rule over how a credential is used: more than Over of what it
// measures, within In, is anomalous.
type Anomaly struct {
	Name   string
	Of     Measure
	Over   uint64
	In     time.Duration // whole seconds
	Action Action
}

// Bounds of what an Anomaly may say, and of how many an API may have: what is
// remembered of each credential grows with them.
const (
	MinAnomalyTime     = time.Second
	MaxAnomalyTime     = 7 * 24 * time.Hour
	MaxAnomalyCount    = 1_000_000
	MaxAnomalyNetworks = 10_000
	MaxAnomalies       = 16
)

// Measure is what an Anomaly counts. The zero value counts nothing.
type Measure uint8

const (
	MeasureUnset    Measure = iota
	MeasureNetworks         // the networks that requests came from, each once
	MeasureRefusals         // requests that were refused though the credential is good
	MeasureRequests         // all requests
)

var measures = [...]string{MeasureNetworks: "networks", MeasureRefusals: "refusals", MeasureRequests: "requests"}

// String returns the measure's name in configuration.
func (m Measure) String() string {
	if int(m) >= len(measures) {
		return ""
	}
	return measures[m]
}

// ParseMeasure is the inverse of String; anything else is MeasureUnset, false.
func ParseMeasure(s string) (Measure, bool) {
	for m, name := range measures {
		if name == s && s != "" {
			return Measure(m), true
		}
	}
	return MeasureUnset, false
}

// Most is the highest Over of a rule over m.
func (m Measure) Most() uint64 {
	if m == MeasureNetworks {
		return MaxAnomalyNetworks
	}
	return MaxAnomalyCount
}

// Action is what is done about anomalous use, the mildest first. The zero value
// is nothing.
type Action uint8

const (
	ActionUnset   Action = iota
	ActionAlert          // a line in the log
	ActionDisable        // the credential is refused until an administrator enables it
	ActionRevoke         // the credential is refused for good
)

var actions = [...]string{ActionAlert: "alert", ActionDisable: "disable", ActionRevoke: "revoke"}

// String returns the action's name in configuration.
func (a Action) String() string {
	if int(a) >= len(actions) {
		return ""
	}
	return actions[a]
}

// ParseAction is the inverse of String; anything else is ActionUnset, false.
func ParseAction(s string) (Action, bool) {
	for a, name := range actions {
		if name == s && s != "" {
			return Action(a), true
		}
	}
	return ActionUnset, false
}
