package envoy

import (
	"slices"

	"github.com/sallyport/sallyport"
)

// accessLog is what we ask to be told of streams that have ended.
type accessLog struct {
	Slots bool     // which ones, since they may hold slots
	Costs []string // headers of answers that tell what a request cost, in lower case
}

// accessLogOf returns what p needs to be told, nil for nothing. APIs without
// hosts are behind other people's Envoys, which these lines do not reach.
func accessLogOf(p *sallyport.Policy) *accessLog {
	var log accessLog
	for _, api := range p.APIs {
		if len(api.Hosts) == 0 {
			continue
		}
		for _, l := range api.Limits {
			log.Slots = log.Slots || l.Concurrency > 0
		}
		for _, op := range api.Operations {
			if h := op.Cost.Response; h != "" && !slices.Contains(log.Costs, h) {
				log.Costs = append(log.Costs, h)
			}
		}
	}
	slices.Sort(log.Costs)
	if !log.Slots && len(log.Costs) == 0 {
		return nil
	}
	return &log
}
