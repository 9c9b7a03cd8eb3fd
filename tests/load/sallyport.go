package main

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed testdata/sallyport.yaml
var configText string

// gate is a running sallyport with one API, one tenant and some keys.
type gate struct {
	*process
	binary string
	config string // the file
	grpc   string
	http   string
	token  string
	around surroundings
}

// surroundings are where the gate stands. Most parts need none: they speak to it
// by TCP as Envoy would, and nothing is behind it.
type surroundings struct {
	socket   string // it listens at this path too
	upstream string // what it tells Envoy is behind
}

// startGate writes a configuration into dir, starts the binary with it and
// waits until it serves.
func startGate(ctx context.Context, binary, dir string, around surroundings) (*gate, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("%w (build it first: make build)", err)
	}
	free, err := freeAddresses(2)
	if err != nil {
		return nil, err
	}
	g := &gate{binary: binary, grpc: free[0], http: free[1], token: rand.Text(), around: around}
	if g.config, err = g.writeConfig(dir); err != nil {
		return nil, err
	}
	if g.process, err = start(ctx, nil, binary, "serve", "-c", g.config); err != nil {
		return nil, err
	}
	for _, address := range free {
		if err := g.awaitPort(ctx, address); err != nil {
			g.stop()
			return nil, err
		}
	}
	return g, nil
}

func (g *gate) writeConfig(dir string) (path string, err error) {
	tokenFile, pepperFile := filepath.Join(dir, "token"), filepath.Join(dir, "pepper")
	for file, secret := range map[string]string{tokenFile: g.token, pepperFile: rand.Text() + rand.Text()} {
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			return "", err
		}
	}
	var text strings.Builder
	err = template.Must(template.New("config").Parse(configText)).Execute(&text, map[string]string{
		"GRPC": g.grpc, "HTTP": g.http, "Token": tokenFile, "Pepper": pepperFile, "Store": filepath.Join(dir, "sallyport.db"),
		"Socket": g.around.socket, "Upstream": cmp.Or(g.around.upstream, "127.0.0.1:8080"),
	})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "sallyport.yaml")
	return path, os.WriteFile(path, []byte(text.String()), 0o600)
}

// makeKeys creates a tenant and n keys of it through the command line.
func (g *gate) makeKeys(ctx context.Context, n int) ([]string, error) {
	if _, err := g.cli(ctx, "tenant", "create", "--api", "orders", "--id", "t1", "--plan", "big"); err != nil {
		return nil, err
	}
	var keys []string
	for range n {
		out, err := g.cli(ctx, "key", "create", "--api", "orders", "--tenant", "t1", "--scopes", "orders:read", "--json")
		if err != nil {
			return nil, err
		}
		var made struct{ Key string }
		if err := json.Unmarshal(out, &made); err != nil {
			return nil, fmt.Errorf("answer of sallyport key create --json: %w", err)
		}
		keys = append(keys, made.Key)
	}
	return keys, nil
}

func (g *gate) cli(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, g.binary, args...)
	cmd.Env = append(os.Environ(), "SALLYPORT_URL=http://"+g.http, "SALLYPORT_TOKEN="+g.token)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("sallyport %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return out, nil
}
