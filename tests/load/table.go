package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// row is one line of the result.
type row struct {
	measure            string
	server             string        // "": measure says it
	baseline, measured time.Duration // CPU of one call
	bar                float64       // 0: none
	spread             [2]float64    // of baseline and measured
}

func (r row) ratio() float64 { return float64(r.measured) / float64(r.baseline) }

// met reports whether r is within its bar, or has none. A ratio that is not a
// number is not within.
func (r row) met() bool { return r.bar == 0 || r.ratio() <= r.bar }

// writeTable prints rows under a header that names the measured server if
// there is but one.
func writeTable(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	name, several := "measured", false
	for i, r := range rows {
		several = several || r.server != rows[0].server
		if i == 0 {
			name = r.server
		}
	}
	if several || name == "" {
		name = "measured"
	}
	fmt.Fprintf(t, "| measure\t| CPU µs baseline\t| CPU µs %s\t| ratio\t| bar\t| ok?\t| spread\t|\n", name)
	fmt.Fprintln(t, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, r := range rows {
		measure := r.measure
		if several && r.server != "" {
			measure += ", " + r.server
		}
		bar, ok := "-", "-"
		if r.bar > 0 {
			bar, ok = "≤ "+strconv.FormatFloat(r.bar, 'f', 2, 64), "yes"
			if !r.met() {
				ok = "NO"
			}
		}
		fmt.Fprintf(t, "| %s\t| %s\t| %s\t| %.2f\t| %s\t| %s\t| %.0f %%, %.0f %%\t|\n",
			measure, micros(r.baseline), micros(r.measured), r.ratio(), bar, ok, 100*r.spread[0], 100*r.spread[1])
	}
	return t.Flush()
}

func micros(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Microsecond), 'f', 2, 64)
}

// lowerQuartile returns the value that a quarter of times is below, between
// two of them interpolated. Of noise that only ever adds it is the steady
// part, without the luck of a minimum. No times: 0.
func lowerQuartile(times []time.Duration) time.Duration { return quantile(times, 0.25) }

// spread is how far apart the quartiles are, relative to the lower one.
func spread(times []time.Duration) float64 {
	low := lowerQuartile(times)
	if low == 0 {
		return 0
	}
	return float64(quantile(times, 0.75)-low) / float64(low)
}

func quantile(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	place := q * float64(len(sorted)-1)
	below := int(place)
	above := min(below+1, len(sorted)-1)
	part := place - float64(below)
	return sorted[below] + time.Duration(part*float64(sorted[above]-sorted[below]))
}

// benchmarkLines keeps of the output of go test what says a result, and what
// says why there is none.
func benchmarkLines(output string) []string {
	var lines []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		switch word, _, _ := strings.Cut(line, " "); {
		case strings.HasPrefix(word, "Benchmark"), strings.HasPrefix(word, "FAIL"), strings.HasPrefix(word, "panic:"), strings.HasPrefix(word, "#"):
			lines = append(lines, line)
		}
	}
	return lines
}
