package counterstest_test

import (
	"testing"

	"github.com/sallyport/sallyport/ratelimit"
	"github.com/sallyport/sallyport/ratelimit/counterstest"
)

func TestMemory(t *testing.T) {
	counterstest.Run(t, func(*testing.T) ratelimit.Counters { return ratelimit.NewMemory() }, counterstest.Options{})
}
