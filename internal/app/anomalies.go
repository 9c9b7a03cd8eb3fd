package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/extauthz"
	"github.com/sallyport/sallyport/internal/anomaly"
	"github.com/sallyport/sallyport/internal/store/sqlite"
	"github.com/sallyport/sallyport/internal/telemetry"
)

var (
	_ extauthz.Recorder = (*anomaly.Watch)(nil)
	_ anomaly.Store     = (*sqlite.Store)(nil)
	_ anomaly.Forgetter = (*extauthz.Finder)(nil)
	_ anomaly.Counts    = (*telemetry.Anomalies)(nil)
)

// forgetEvery is how often it is looked for credentials of which nothing counts any
// more.
const forgetEvery = time.Minute

// openAnomalies makes what watches how credentials are used, and what acts on it.
func (a *App) openAnomalies(registry prometheus.Registerer) {
	counts := new(telemetry.Anomalies)
	registry.MustRegister(counts)
	a.anomalies = anomaly.NewActor(a.store, a.finder, counts, a.log)
	a.watch = anomaly.New(a.anomalies.Take)
}
