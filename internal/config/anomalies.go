package config

import (
	"strconv"
	"time"

	"github.com/sallyport/sallyport"
)

// The words of rules over anomalous use.
var (
	measures = []string{"networks", "refusals", "requests"}
	actions  = []string{"alert", "disable", "revoke"}
)

// anomalies compiles the rules over how credentials are used.
func (a *api) anomalies() {
	path := a.sub("anomalies")
	var names []string
	for i, in := range a.in.Anomalies {
		names = append(names, in.Name)
		a.out.Anomalies = append(a.out.Anomalies, a.anomaly(index(path, i), in))
	}
	a.distinct(path, "rule", names)
	if len(names) > sallyport.MaxAnomalies {
		a.add(path, "has "+strconv.Itoa(len(names))+" rules", "write at most "+strconv.Itoa(sallyport.MaxAnomalies))
	}
}

func (a *api) anomaly(at string, in Anomaly) sallyport.Anomaly {
	out := sallyport.Anomaly{Name: in.Name, Over: in.Over, In: time.Duration(in.In)}
	out.Of, _ = sallyport.ParseMeasure(in.Of)
	out.Action, _ = sallyport.ParseAction(in.Action)
	if in.Name == "" || !limitName.MatchString(in.Name) {
		a.add(field(at, "name"), "is not the name of a rule", "write lower-case letters, digits and -, beginning with a letter")
	}
	a.required(at, "of", "what is watched", "write networks, refusals or requests")
	a.required(at, "in", "the time in which it is counted", "write a duration such as 1h")
	a.required(at, "action", "what happens then", "write alert, disable or revoke")
	a.oneOf(field(at, "of"), "measure", in.Of, measures...)
	a.oneOf(field(at, "action"), "action", in.Action, actions...)
	switch most := out.Of.Most(); {
	case in.Over == 0:
		a.add(field(at, "over"), "is missing or zero", "write how many are too many")
	case in.Over > most:
		a.add(field(at, "over"), strconv.FormatUint(in.Over, 10)+" is out of range", "write 1 to "+strconv.FormatUint(most, 10))
	}
	if in.In != 0 && (out.In < sallyport.MinAnomalyTime || out.In > sallyport.MaxAnomalyTime || out.In%time.Second != 0) {
		a.add(field(at, "in"), "is out of range", "write whole seconds, 1s to 7d")
	}
	return out
}
