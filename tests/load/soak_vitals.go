package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// metrics reads what the gate shows: each metric summed over its labels, and what
// has labels also by itself, as name{labels}.
func (g *gate) metrics(ctx context.Context) (map[string]float64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.http+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("/metrics of sallyport answers %s", answer.Status)
	}
	return readMetrics(answer.Body)
}

func readMetrics(text io.Reader) (map[string]float64, error) {
	sums := make(map[string]float64)
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		line := lines.Text()
		end := strings.LastIndexByte(line, ' ')
		if end < 0 || line[0] == '#' {
			continue
		}
		value, err := strconv.ParseFloat(line[end+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("metric %q: %w", line, err)
		}
		name, _, labelled := strings.Cut(line[:end], "{")
		sums[name] += value
		if labelled {
			sums[line[:end]] = value
		}
	}
	return sums, lines.Err()
}

// vital is something that must not grow while the gate does the same all the
// time.
type vital struct {
	name   string
	metric string
	unit   float64
	slack  float64 // may be added, in units: what is in use from one moment to the next
}

// growth is what may be added in relation, besides the slack.
const growth = 0.1

var vitals = []vital{
	{"live heap, MiB", "go_memstats_heap_alloc_bytes", 1 << 20, 1},
	{"resident memory, MiB", "process_resident_memory_bytes", 1 << 20, 4},
	{"goroutines", "go_goroutines", 1, 10},
	{"open files", "process_open_fds", 1, 5},
}

// watch looks at the vitals of the gate every so often until over is closed.
func (p *pool) watch(ctx context.Context, over <-chan struct{}, every time.Duration) (seen []map[string]float64) {
	for pause(over, every) {
		one, err := p.vitals(ctx)
		if err != nil {
			p.ledger.fault("metrics", err)
			continue
		}
		seen = append(seen, one)
	}
	return seen
}

// vitals has the gate collect its garbage first, which a heap profile does: what
// is left is what it holds on to.
func (p *pool) vitals(ctx context.Context) (map[string]float64, error) {
	if err := p.gate.admin(ctx, http.MethodGet, "/admin/v1/profile?kind=heap", nil, nil); err != nil {
		return nil, err
	}
	return p.gate.metrics(ctx)
}

// trend is how a vital stood after the gate had settled, and at the end.
type trend struct {
	vital
	first, last float64
}

// trendOf compares the first with the last third of what was seen, without the
// first fifth, in which caches fill: the medians.
func trendOf(v vital, seen []map[string]float64) trend {
	var values []float64
	for _, one := range seen[len(seen)/5:] {
		values = append(values, one[v.metric]/v.unit)
	}
	third := (len(values) + 2) / 3
	return trend{v, median(values[:third]), median(values[len(values)-third:])}
}

// flat is false for what was not seen.
func (t trend) flat() bool { return t.first > 0 && t.last <= t.first*(1+growth)+t.slack }

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// writeTrends prints a line for each; judged is false where it was too short to
// tell.
func writeTrends(w io.Writer, all []trend, judged bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| sallyport\t| settled\t| at the end\t| may be\t| ok?\t|")
	fmt.Fprintln(t, "|---\t|---\t|---\t|---\t|---\t|")
	for _, one := range all {
		ok := "-"
		if judged {
			ok = "yes"
			if !one.flat() {
				ok = "NO"
			}
		}
		fmt.Fprintf(t, "| %s\t| %.1f\t| %.1f\t| ≤ %.1f\t| %s\t|\n", one.name, one.first, one.last, one.first*(1+growth)+one.slack, ok)
	}
	return t.Flush()
}
