package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sallyport/sallyport/extauthz"
	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/store/sqlite"
)

// newHTTP makes the plain HTTP side: admin API, metrics and health.
func (a *App) newHTTP(ctx context.Context, o Options, metrics prometheus.Gatherer) error {
	own, err := readSecret(o.Config.Admin.Token)
	if err != nil {
		return fmt.Errorf("admin.token: %w", err)
	}
	token := strings.TrimSpace(string(own))
	if a.adminToken, a.tokenMade, err = admin.EnsureToken(ctx, a.store, a.hasher, token); err != nil {
		return fmt.Errorf("admin token: %w", err)
	}
	handler, err := admin.New(admin.Options{
		Store: a.store, Changed: caches{a.finder, a.senders}, Policy: a.policy.Load, Hasher: a.hasher,
		Now: o.Now, Token: apikey.NewSecret(token), Version: o.Version, Log: o.Log,
		Reload: a.Reload, Explain: a.explain,
		Limits: limitsAsSeen{a.counters, a.slots, o.Now}, Passwords: a.oauth.Passwords,
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/admin/", handler)
	mux.HandleFunc("/", a.endpoints(handler))
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.ready)
	a.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	return nil
}

// caches are what this instance remembers of the store.
type caches struct {
	*extauthz.Finder
	senders *extauthz.Senders
}

func (c caches) ForgetSender(api, id string) { c.senders.Forget(api, id) }

// ready tells whether the store answers: without it, keys that are not cached
// are refused. And whether the rate limit files were ever good: without them,
// nobody knows what is limited.
func (a *App) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	if err := a.store.Ping(ctx); err != nil {
		a.log.Warn("not ready", "error", err)
		http.Error(w, "the store does not answer", http.StatusServiceUnavailable)
		return
	}
	if a.directories != nil && !a.directoriesReady.Load() {
		http.Error(w, "the rate limit files have not been loaded", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// newHasher reads the peppers: the current one, and those before it.
func newHasher(from []config.Pepper) (*apikey.Hasher, error) {
	var peppers []apikey.Pepper
	for _, p := range from {
		text, err := readSecret(p.Secret)
		if err != nil {
			return nil, fmt.Errorf("pepper: %w", err)
		}
		pepper, err := apikey.ParsePepper(text)
		if err != nil {
			return nil, fmt.Errorf("pepper: %w", err)
		}
		peppers = append(peppers, pepper.WithVersion(int(p.Version)))
	}
	if len(peppers) == 0 {
		return nil, errors.New("pepper: none is configured")
	}
	return apikey.NewHasher(peppers[0], peppers[1:]...)
}

// readSecret reads a secret from where it is kept; nothing configured is no
// secret and no error.
func readSecret(from config.Secret) ([]byte, error) {
	switch {
	case from.Env != "":
		value, ok := os.LookupEnv(from.Env)
		if !ok {
			return nil, fmt.Errorf("the environment variable %s is not set", from.Env)
		}
		return []byte(value), nil
	case from.File != "":
		text, err := os.ReadFile(from.File)
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("the file %s does not exist; make one with: openssl rand -base64 32 > %s", from.File, from.File)
		}
		return text, err
	}
	return nil, nil
}

// openStore opens the store that url names.
func openStore(ctx context.Context, url string) (*sqlite.Store, error) {
	path, ok := strings.CutPrefix(url, "sqlite://")
	if !ok {
		return nil, fmt.Errorf("store: %q is not sqlite:///PATH", url)
	}
	s, err := sqlite.Open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return s, nil
}
