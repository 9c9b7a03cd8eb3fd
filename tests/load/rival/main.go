// Command rival is envoyproxy/ratelimit, started as its own command starts it,
// so that it is built from its module like any other dependency. It stands in a
// module of its own: what it needs is no business of the gate's.
//
// It is configured by its own environment variables, as in its README. It is
// what the limits part of the load measurements compares with.
package main

import (
	"github.com/envoyproxy/ratelimit/src/service_cmd/runner"
	"github.com/envoyproxy/ratelimit/src/settings"
)

func main() {
	service := runner.NewRunner(settings.NewSettings())
	service.Run()
}
