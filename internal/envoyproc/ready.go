package envoyproc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// startTimeout bounds a start on a busy machine; poll is how often to look,
// since Envoy tells nobody that it is ready.
const (
	startTimeout = 30 * time.Second
	poll         = 10 * time.Millisecond
)

// awaitReady fills in the addresses when Envoy serves.
func (p *Process) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	for {
		select {
		case <-p.exited:
			return p.died()
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w:\n%s", ctx.Err(), p.stderr)
		case <-ticker.C:
		}
		if err := p.look(ctx, client); err == nil {
			return nil
		} else if !errors.Is(err, errNotYet) {
			return err
		}
	}
}

var errNotYet = errors.New("not ready yet")

// look asks once whether Envoy serves, and where.
func (p *Process) look(ctx context.Context, client *http.Client) error {
	if p.admin == "" {
		text, err := os.ReadFile(p.adminFile())
		if err != nil || len(text) == 0 {
			return errNotYet
		}
		p.admin = dialable(string(text))
	}
	if _, err := get(ctx, client, "http://"+p.admin+"/ready"); err != nil {
		return errNotYet
	}
	body, err := get(ctx, client, "http://"+p.admin+"/listeners?format=json")
	if err != nil {
		return errNotYet
	}
	p.address, err = firstListener(body)
	return err
}

func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}

// firstListener reads the address of the first listener from what the admin
// endpoint /listeners?format=json answers.
func firstListener(body []byte) (string, error) {
	var list struct {
		Statuses []struct {
			Local struct {
				Socket struct {
					Address string `json:"address"`
					Port    uint16 `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return "", fmt.Errorf("read listeners: %w", err)
	}
	if len(list.Statuses) == 0 || list.Statuses[0].Local.Socket.Port == 0 {
		return "", errNotYet
	}
	s := list.Statuses[0].Local.Socket
	return dialable(net.JoinHostPort(s.Address, strconv.Itoa(int(s.Port)))), nil
}

// dialable replaces an address that means all addresses by the loopback's.
func dialable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	switch host {
	case "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}

// tail passes a log on and keeps its end, for error messages.
type tail struct {
	next io.Writer

	mu   sync.Mutex // guards last
	last []byte
}

const tailSize = 8 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	t.last = append(t.last, b...)
	if cut := len(t.last) - tailSize; cut > 0 {
		t.last = append(t.last[:0], t.last[cut:]...)
	}
	t.mu.Unlock()
	if t.next == nil {
		return len(b), nil
	}
	return t.next.Write(b)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.last)
}
