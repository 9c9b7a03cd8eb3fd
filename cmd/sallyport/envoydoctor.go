package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/envoy/doctor"
)

// largestDump is how much of a dump is read: those of large meshes are tens of
// megabytes.
const largestDump = 512 << 20

// errEnvoyUnreachable says that Envoy's admin listener was not reached.
var errEnvoyUnreachable = errors.New("the admin listener of Envoy is not reached")

func newDoctor(s streams) *cobra.Command {
	var url, file, dump string
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor [--admin URL | --dump FILE]",
		Short: "Say which traps a running Envoy walks into",
		Long: "Read the configuration that an Envoy runs on, wherever it came from, and say which traps it walks into that fail\n" +
			"without a word, each with its cure. Dangers let requests pass unjudged or under another's name; faults are wrong\n" +
			"answers and outages that need not be; the rest is advice.\n\n" +
			"It exits with 1 where there are dangers or faults, and with 3 where Envoy's admin listener is not reached. With -c\n" +
			"it says too what the configuration needs and this Envoy has not.",
		Example: "  sallyport envoy doctor --admin http://127.0.0.1:9901 -c sallyport.yaml\n" +
			"  kubectl exec -n istio-system deploy/istio-ingressgateway -- pilot-agent request GET config_dump?include_eds | sallyport envoy doctor --dump -",
		Args: cobra.NoArgs,
		RunE: runs(func(ctx context.Context, _ []string) error {
			var policy *sallyport.Policy
			if file != "" {
				c, err := load(s, file)
				if err != nil {
					return err
				}
				policy = c.Policy
			}
			text, version, err := dumped(ctx, s, url, dump)
			if err != nil {
				return err
			}
			found, err := doctor.Examine(text, version, policy)
			if err != nil {
				return err
			}
			return tellFindings(s, found, asJSON)
		}),
	}
	f := c.Flags()
	f.StringVar(&url, "admin", "http://127.0.0.1:9901", "Envoy's admin listener")
	f.StringVar(&dump, "dump", "", "a file with the answer of its /config_dump?include_eds instead; - for standard input")
	f.StringVarP(&file, "config", "c", "", "compare with this configuration of sallyport")
	f.BoolVar(&asJSON, "json", false, "print the findings as JSON")
	c.MarkFlagsMutuallyExclusive("admin", "dump")
	return c
}

// dumped returns a dump and, where a running Envoy is asked, its version.
func dumped(ctx context.Context, s streams, url, file string) (text []byte, version string, err error) {
	switch file {
	case "":
	case "-":
		text, err = io.ReadAll(io.LimitReader(s.in, largestDump))
		return text, "", err
	default:
		text, err = os.ReadFile(file)
		return text, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if text, err = askEnvoy(ctx, url, "/config_dump?include_eds"); err != nil {
		return nil, "", err
	}
	info, err := askEnvoy(ctx, url, "/server_info")
	if err != nil {
		return nil, "", err
	}
	var server struct{ Version string }
	if json.Unmarshal(info, &server) == nil {
		// 9e558093…/1.40.0/Clean/RELEASE/BoringSSL
		if parts := strings.Split(server.Version, "/"); len(parts) > 1 {
			version = parts[1]
		}
	}
	return text, version, nil
}

func askEnvoy(ctx context.Context, url, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+path, nil)
	if err != nil {
		return nil, fmt.Errorf("--admin %s: %w", url, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errEnvoyUnreachable, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s%s: %s", errEnvoyUnreachable, url, path, resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, largestDump))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errEnvoyUnreachable, err)
	}
	return text, nil
}

// tellFindings prints them, and is an error where any is more than advice.
func tellFindings(s streams, found []doctor.Finding, asJSON bool) error {
	bad, counts := 0, map[doctor.Severity]int{}
	for _, f := range found {
		counts[f.Severity]++
		if f.Severity != doctor.Advice {
			bad++
		}
	}
	if asJSON {
		if found == nil {
			found = []doctor.Finding{}
		}
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		if err := e.Encode(found); err != nil {
			return err
		}
	} else {
		for _, f := range found {
			fmt.Fprintf(s.out, "%s %s\n  at:   %s\n  what: %s\n  cure: %s\n\n", strings.ToUpper(string(f.Severity)), f.ID, f.Where, f.What, f.Cure)
		}
		var summary []string
		for _, severity := range doctor.Severities() {
			summary = append(summary, fmt.Sprintf("%s: %d", severity, counts[severity]))
		}
		fmt.Fprintln(s.out, strings.Join(summary, ", "))
	}
	if bad > 0 {
		return errors.New("this Envoy walks into traps; each stands above with its cure")
	}
	return nil
}
