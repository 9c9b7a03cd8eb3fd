package envoy

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	accessv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	grpcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/testenv"
	"github.com/sallyport/sallyport/ratelimit"
)

func inFlight(p *sallyport.Policy) {
	p.APIs[0].Limits = []*sallyport.Limit{{Name: "in-flight", Per: []string{"credential"}, Concurrency: 5}}
}

func costly(p *sallyport.Policy) {
	p.APIs[0].Operations[0].Cost = sallyport.Cost{Response: "x-tokens", Max: 100}
	p.APIs[1].Operations = []*sallyport.Operation{
		{Name: "GET /a", Method: "GET", Path: "/a", Cost: sallyport.Cost{Response: "x-cost", Max: 100}},
		{Name: "GET /b", Method: "GET", Path: "/b", Cost: sallyport.Cost{Response: "x-tokens", Max: 100}},
	}
}

// told are the policies that make us need an access log, and what they make of
// the bootstrap.
var told = []struct {
	name    string
	change  []func(*sallyport.Policy)
	filters int // how many conditions let an entry pass
	costs   []string
	reports bool // of streams that go on
}{
	{"slots", []func(*sallyport.Policy){inFlight}, 2, nil, true},
	{"costs", []func(*sallyport.Policy){costly}, 1, []string{"x-cost", "x-tokens"}, false},
	{"both", []func(*sallyport.Policy){inFlight, costly}, 3, []string{"x-cost", "x-tokens"}, true},
}

func TestAccessLogTellsWhatThePolicyNeeds(t *testing.T) {
	for _, chain := range chains {
		for _, c := range told {
			t.Run(chain.String()+"/"+c.name, func(t *testing.T) {
				p := policy()
				for _, change := range c.change {
					change(p)
				}
				text, err := Bootstrap(p, options(chain))
				if err != nil {
					t.Fatal(err)
				}
				b := parse(t, text)
				if err := b.ValidateAll(); err != nil {
					t.Error(err)
				}
				m := connectionManager(t, b)
				if got := m.GetAccessLogOptions().GetAccessLogFlushInterval().AsDuration(); (got == ratelimit.ReportEvery) != c.reports {
					t.Errorf("reports of streams that go on come every %v", got)
				}
				log := m.GetAccessLog()[0]
				if got := conditions(log.GetFilter()); got != c.filters {
					t.Errorf("%d conditions let an entry pass, want %d", got, c.filters)
				}
				config := new(grpcv3.HttpGrpcAccessLogConfig)
				if err := log.GetTypedConfig().UnmarshalTo(config); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(config.GetAdditionalResponseHeadersToLog(), c.costs) {
					t.Errorf("headers of answers: got %q, want %q", config.GetAdditionalResponseHeadersToLog(), c.costs)
				}
				if size := config.GetCommonConfig().GetBufferSizeBytes(); size == nil || size.GetValue() != 0 {
					t.Errorf("entries are held back until there are %v bytes of them", size)
				}
				if !hasCluster(b, clusterAccessLog) {
					t.Error("the log has no cluster")
				}
			})
		}
	}
}

func conditions(f *accessv3.AccessLogFilter) int {
	if or := f.GetOrFilter(); or != nil {
		return len(or.GetFilters())
	}
	if f.GetMetadataFilter() != nil {
		return 1
	}
	return 0
}

func TestNoAccessLogWhereNothingNeedsIt(t *testing.T) {
	p := policy()
	p.APIs = append(p.APIs, &sallyport.API{Name: "elsewhere", Limits: []*sallyport.Limit{{Name: "in-flight", Concurrency: 1}}})
	text, err := Bootstrap(p, options(sallyport.Paired))
	if err != nil {
		t.Fatal(err)
	}
	if m := connectionManager(t, parse(t, text)); len(m.GetAccessLog()) > 0 || m.GetAccessLogOptions() != nil || strings.Contains(string(text), clusterAccessLog) {
		t.Error("there is an access log, of which nobody needs to be told")
	}
}

func TestEnvoyAcceptsTheAccessLog(t *testing.T) {
	binary := testenv.Envoy(t)
	for _, c := range told {
		p := policy()
		for _, change := range c.change {
			change(p)
		}
		text, err := Bootstrap(p, options(sallyport.Paired))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "bootstrap.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(binary, "--mode", "validate", "-c", file, "--log-level", "warning").CombinedOutput()
		if err != nil || strings.Contains(string(out), "[warning]") {
			t.Errorf("%s: %v\n%s", c.name, err, out)
		}
	}
}

func hasCluster(b *bootstrapv3.Bootstrap, name string) bool {
	for _, c := range b.GetStaticResources().GetClusters() {
		if c.GetName() == name {
			return true
		}
	}
	return false
}
