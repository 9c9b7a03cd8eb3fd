package app

import (
	"fmt"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/envoy"
	"github.com/sallyport/sallyport/envoy/xds"
	"github.com/sallyport/sallyport/internal/config"
)

// envoys is what the Envoys are told that ask us for their configuration.
type envoys struct {
	options envoy.Options
	server  *xds.Server
}

// openXDS prepares to give Envoys their configuration, where o says that.
func (a *App) openXDS(o Options) error {
	if o.XDS == nil {
		return nil
	}
	e := &envoys{options: *o.XDS, server: xds.NewServer(o.Log)}
	if e.options.GRPC == "" {
		e.options.GRPC = o.Config.Listen.GRPC[0]
	}
	if e.options.HTTP == "" {
		e.options.HTTP = o.Config.Listen.HTTP
	}
	a.envoys = e
	resources, err := e.prepare(o.Config.Policy)
	if err != nil {
		return err
	}
	return e.server.Set(resources)
}

// prepare makes what Envoys are to be told of p.
func (e *envoys) prepare(p *sallyport.Policy) (*xds.Resources, error) {
	text, err := Bootstrap(p, e.options)
	if err != nil {
		return nil, fmt.Errorf("configuration of Envoy: %w", err)
	}
	return xds.Parse(text)
}

// untoldEnvoys is untold where it is not we who tell Envoy.
func (a *App) untoldEnvoys(c *config.Config) []sallyport.Fault {
	if a.envoys != nil {
		return nil // it is told with this very change
	}
	return a.untold(c)
}
