package demo

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/envoy"
	"github.com/sallyport/sallyport/examples"
	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/envoyproc"
)

// Options is what to show and where.
type Options struct {
	Names    []string // of examples; none: all
	Counters string   // where it is counted what was taken: "" or what `counters:` may be in a file
	Chain    sallyport.Chain
	Listen   string // the gateway's address
	GRPC     string
	HTTP     string
	Envoy    string // the binary
	Version  string
	Log      *slog.Logger
	EnvoyTo  io.Writer // Envoy's own log
}

// Demo is everything, running.
type Demo struct {
	Gateway string         `json:"gateway"`
	GRPC    string         `json:"grpc"`
	Admin   Admin          `json:"admin"`
	APIs    map[string]API `json:"apis"`

	policy   *sallyport.Policy
	envoy    *envoyproc.Process
	echo     *http.Server
	server   chan error // how the server ended
	stop     context.CancelFunc
	folder   string
	LeftOut  []sallyport.Fault `json:"-"` // what the examples ask for and is not enforced here
	upstream string
}

// Admin is the way in for administrators.
type Admin struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

// Start starts everything and returns when it serves. On an error nothing is
// left.
func Start(ctx context.Context, o Options) (_ *Demo, err error) {
	d := &Demo{APIs: make(map[string]API), server: make(chan error, 1)}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.stop = stop
	defer func() {
		if err != nil {
			d.Stop()
		}
	}()
	if d.folder, err = os.MkdirTemp("", "sallyport-demo-"); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	if err := d.startEcho(); err != nil {
		return nil, err
	}
	c, err := d.configure(o)
	if err != nil {
		return nil, err
	}
	server, err := app.New(ctx, app.Options{Config: c, Version: o.Version, Log: o.Log})
	if err != nil {
		return nil, err
	}
	go func() { d.server <- server.Run(running) }()
	if err := d.startEnvoy(ctx, o, server); err != nil {
		return nil, err
	}
	d.GRPC = server.GRPC()[1]
	d.Gateway = "http://" + d.envoy.Address()
	d.Admin.URL = "http://" + server.HTTP()
	return d, d.seed(ctx)
}

// startEcho starts the sample upstream on a port of the system's choice.
func (d *Demo) startEcho() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("demo: sample upstream: %w", err)
	}
	d.upstream = "http://" + l.Addr().String()
	d.echo = &http.Server{Handler: http.HandlerFunc(Echo), ReadHeaderTimeout: 10 * time.Second}
	go d.echo.Serve(l)
	return nil
}

// configure puts the examples together, with everything that they leave to the
// machine in the demo's own folder.
func (d *Demo) configure(o Options) (_ *config.Config, err error) {
	names := o.Names
	if len(names) == 0 {
		names = examples.Names()
	}
	c := &config.Config{Policy: &sallyport.Policy{Chain: o.Chain}}
	for _, name := range names {
		one, err := load(name)
		if err != nil {
			return nil, err
		}
		d.leaveOut(one)
		c.Cache = one.Cache
		c.Policy.APIs = append(c.Policy.APIs, one.Policy.APIs...)
	}
	for _, api := range c.Policy.APIs {
		api.Upstream = d.upstream
	}
	d.policy = c.Policy
	if c.Counters, err = config.CountersAt(cmp.Or(o.Counters, "memory")); err != nil {
		return nil, err
	}
	c.Counters.File = "none" // nothing of a demo is kept
	c.Listen.GRPC = config.List{"unix://" + filepath.Join(d.folder, "sallyport.sock"), o.GRPC}
	c.Listen.HTTP = o.HTTP
	c.Store = "sqlite://" + filepath.Join(d.folder, "sallyport.db")
	d.Admin.Token = admin.TokenPrefix + random()
	pepper := filepath.Join(d.folder, "pepper")
	c.Peppers = []config.Pepper{{Version: 1, Secret: config.Secret{File: pepper}}}
	c.Admin.Token = config.Secret{File: filepath.Join(d.folder, "admin-token")}
	return c, errors.Join(
		os.WriteFile(pepper, []byte(random()), 0o600),
		os.WriteFile(c.Admin.Token.File, []byte(d.Admin.Token), 0o600))
}

// leaveOut notes what of c this version cannot enforce. A server would not start;
// a demo on this machine shows the rest, and says so.
func (d *Demo) leaveOut(c *config.Config) {
	d.LeftOut = append(d.LeftOut, c.Absent...)
}

func load(name string) (*config.Config, error) {
	if !slices.Contains(examples.Names(), name) {
		return nil, fmt.Errorf("unknown example %q; there are %s", name, strings.Join(examples.Names(), ", "))
	}
	file, text, err := examples.Config(name)
	if err != nil {
		return nil, err
	}
	c, faults := config.Parse(file, text)
	if len(faults) > 0 {
		return nil, errors.New(list(faults))
	}
	return c, nil
}

func list(faults []sallyport.Fault) string {
	var lines []string
	for _, f := range faults {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "\n")
}

func random() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (d *Demo) startEnvoy(ctx context.Context, o Options, server *app.App) error {
	bootstrap, err := app.Bootstrap(d.policy, envoy.Options{
		Chain: o.Chain, Listen: o.Listen, Admin: "127.0.0.1:0", GRPC: server.GRPC()[0], HTTP: server.HTTP(),
	})
	if err != nil {
		return err
	}
	// Envoy ends with Stop, not with the context: requests in flight at a
	// Ctrl-C get their answers.
	d.envoy, err = envoyproc.Start(context.WithoutCancel(ctx), envoyproc.Config{
		Binary: o.Envoy, Bootstrap: bootstrap, Listen: o.Listen, Concurrency: 2, LogLevel: "error", Stderr: o.EnvoyTo,
	})
	return err
}

func (d *Demo) seed(ctx context.Context) error {
	client := admin.NewClient(d.Admin.URL, apikey.NewSecret(d.Admin.Token))
	_, port, err := net.SplitHostPort(d.envoy.Address())
	if err != nil {
		return err
	}
	for _, api := range d.policy.APIs {
		tenants, err := seed(ctx, client, api)
		if err != nil {
			return err
		}
		hosts := localHosts(api)
		d.APIs[api.Name] = API{URL: "http://" + net.JoinHostPort(hosts[0], port), Hosts: hosts, Tenants: tenants}
	}
	return nil
}

// localHosts are the names of api that resolve to this machine, else all.
func localHosts(api *sallyport.API) (hosts []string) {
	for _, h := range api.Hosts {
		if strings.HasSuffix(h, ".localhost") {
			hosts = append(hosts, h)
		}
	}
	if hosts == nil {
		return api.Hosts
	}
	return hosts
}

// Wait returns when ctx ends, or with an error when a part ends by itself.
func (d *Demo) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-d.server:
		d.server <- err
		return fmt.Errorf("the server ended: %w", err)
	case <-d.envoy.Exited():
		return d.envoy.Err()
	}
}

// Stop ends everything and removes what it made. It may be called twice.
func (d *Demo) Stop() {
	if d.envoy != nil {
		d.envoy.Stop()
	}
	d.stop()
	if d.GRPC != "" {
		<-d.server
		d.GRPC = ""
	}
	if d.echo != nil {
		d.echo.Close()
	}
	os.RemoveAll(d.folder)
}
