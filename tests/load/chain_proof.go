package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// prove shows that t's way is what it says, before anything rests on it: who
// refuses strangers, who counts, and what sallyport is asked for a request.
func (r *rig) prove(ctx context.Context, t *traffic) error {
	stranger, want := anyKey[0], []int{http.StatusOK}
	if t.quota() {
		want = []int{http.StatusUnauthorized}
	}
	if err := askAll(ctx, t.address, stranger, want...); err != nil {
		return fmt.Errorf("a stranger: %w", err)
	}
	if t.filters == native && !t.http2 {
		if err := askAll(ctx, t.address, probeKey, http.StatusOK, http.StatusTooManyRequests); err != nil {
			return fmt.Errorf("a client with one request a minute: %w", err)
		}
	}
	before, err := r.gate.asked(ctx)
	if err != nil {
		return err
	}
	for _, c := range t.callers {
		if err := c.call(); err != nil {
			return err
		}
	}
	after, err := r.gate.asked(ctx)
	if err != nil {
		return err
	}
	got := questions{after.checks - before.checks, after.limits - before.limits}
	if want := t.questions(len(t.callers)); got != want {
		return fmt.Errorf("for %d requests sallyport decided %+v, want %+v", len(t.callers), got, want)
	}
	return nil
}

// questions is what sallyport was asked: Check, and the rate limit service.
type questions struct{ checks, limits int }

// questions are what sallyport is asked for requests that w lets pass.
func (w way) questions(requests int) questions {
	switch w.filters {
	case paired:
		return questions{requests, requests}
	case fused:
		return questions{requests, 0}
	default:
		return questions{}
	}
}

// asked reads how much the gate was asked since it began.
func (g *gate) asked(ctx context.Context) (q questions, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.http+"/metrics", nil)
	if err != nil {
		return q, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return q, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return q, fmt.Errorf("/metrics of sallyport answers %s", answer.Status)
	}
	return readQuestions(answer.Body)
}

// readQuestions adds up the two counters, whatever their labels are.
func readQuestions(metrics io.Reader) (q questions, err error) {
	lines := bufio.NewScanner(metrics)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), "{")
		var sum *int
		switch name {
		case "sallyport_checks_total":
			sum = &q.checks
		case "sallyport_ratelimit_decisions_total":
			sum = &q.limits
		default:
			continue
		}
		_, value, _ := strings.Cut(rest, "} ")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return q, fmt.Errorf("metric %q: %w", lines.Text(), err)
		}
		*sum += int(n)
	}
	return q, lines.Err()
}

// askAll sends the request of the load once for each wanted status, with key.
func askAll(ctx context.Context, address, key string, want ...int) error {
	for i, status := range want {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+chainPath, nil)
		if err != nil {
			return err
		}
		r.Host = chainHost
		r.Header.Set("X-API-Key", key)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
		answer.Body.Close()
		if err != nil {
			return err
		}
		if answer.StatusCode != status {
			return fmt.Errorf("request %d: status %s, want %d:\n%s", i+1, answer.Status, status, dumpAnswer(answer, body))
		}
	}
	return nil
}
