package directory

import (
	"fmt"
	"strings"

	"github.com/envoyproxy/ratelimit/src/config"
	"github.com/envoyproxy/ratelimit/src/stats"
)

// opinion asks envoyproxy/ratelimit itself about a file that we accept, and
// returns its complaint, or "". It says no more than that it would load: it
// stops at the first fault and cannot tell the line.
//
// The module starts nothing, reads no environment and keeps nothing of a load
// when it is given no statistics; what it logs is at debug level, which logrus
// leaves out unless somebody turns it on.
func opinion(file string, text []byte) (complaint string) {
	defer func() {
		if p := recover(); p != nil {
			words := strings.Fields(strings.TrimPrefix(fmt.Sprint(p), file+": "))
			complaint = strings.Join(words, " ")
		}
	}()
	root := config.ConfigFileContentToYaml(file, string(text))
	config.NewRateLimitConfigImpl([]config.RateLimitConfigToLoad{{Name: file, ConfigYaml: root}}, noStats{}, false)
	return ""
}

// noStats gives rules a name and no counters. Its other methods are not there:
// loading does not call them.
type noStats struct{ stats.Manager }

func (noStats) NewStats(key string) stats.RateLimitStats { return stats.RateLimitStats{Key: key} }
