package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/telemetry"
	"github.com/sallyport/sallyport/ratelimit"
	"github.com/sallyport/sallyport/ratelimit/redis"
)

// openRedis opens counters that instances share. That they cannot be reached now
// is no error: they are used when they can.
func (a *App) openRedis(ctx context.Context, c *config.Counters) error {
	password, err := readSecret(c.Password)
	if err != nil {
		return fmt.Errorf("counters.password: %w", err)
	}
	o := redis.Options{
		Addresses: c.Redis, Cluster: c.Mode == "cluster", SentinelMaster: c.Master,
		Username: c.Username, Password: apikey.NewSecret(strings.TrimSpace(string(password))), Database: int(c.Database),
		Prefix: c.Prefix, Timeout: time.Duration(c.Timeout), OnLoss: onLoss[c.OnLoss], Share: uint32(c.Share),
		Changed: a.countersChanged,
	}
	o.Sentinel.Username, o.Sentinel.Password = o.Username, o.Password
	if o.TLS, err = tlsOf(&c.TLS); err != nil {
		return fmt.Errorf("counters.tls: %w", err)
	}
	if a.redis, err = redis.Open(ctx, o); err != nil {
		return fmt.Errorf("counters: %w", err)
	}
	a.counters = a.redis
	if c.Lease.Batch > 0 {
		a.reserve = ratelimit.NewReserve(a.redis, ratelimit.ReserveOptions{Batch: c.Lease.Batch, Share: uint32(c.Lease.Share)})
		a.counters = a.reserve
	}
	return nil
}

const (
	giveBackEvery = time.Second // what was not used for so long
	giveBackFor   = 2 * time.Second
)

// sweepReserve gives back what is in reserve and not used: to its end, also when the
// server stops, since what is on its way back would be lost.
func (a *App) sweepReserve() {
	ctx, cancel := context.WithTimeout(context.Background(), giveBackFor)
	defer cancel()
	a.reserve.Sweep(ctx, a.now())
}

// closeReserve gives back all that is in reserve.
func (a *App) closeReserve() {
	ctx, cancel := context.WithTimeout(context.Background(), giveBackFor)
	defer cancel()
	a.reserve.Close(ctx, a.now())
}

var onLoss = map[string]redis.OnLoss{
	"": redis.OnLossFail, "local": redis.OnLossLocal, "open": redis.OnLossOpen, "closed": redis.OnLossClosed,
}

// countersChanged says that the counters were lost, or are there again.
func (a *App) countersChanged(s redis.State) {
	if s.Joined() {
		a.log.Info("the shared counters answer", "carried", s.Carried, "dropped", s.Dropped)
		return
	}
	a.log.Error("the shared counters are lost", "parts", s.Lost, "of", s.Parts, "on_loss", a.config.Counters.OnLoss, "error", s.Cause)
}

// redisState is the state of the shared counters as metrics show it.
func (a *App) redisState() telemetry.CountersState {
	s := a.redis.State()
	t := telemetry.CountersState{
		Lost: s.Lost, Calls: s.Calls, Failed: s.Failed, Alone: s.Alone, Losses: s.Losses, Carried: s.Carried, Dropped: s.Dropped,
	}
	if a.reserve != nil {
		t.Served, t.Reserved = a.reserve.Served(), a.reserve.Held(a.now())
	}
	return t
}

// tlsOf reads the files that t names; nil where TLS is off.
func tlsOf(t *config.TLS) (*tls.Config, error) {
	if !t.On {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		text, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, err
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", t.CA)
		}
	}
	if t.Certificate != "" {
		own, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{own}
	}
	return c, nil
}
