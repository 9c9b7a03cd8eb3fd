package redis

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/testenv"
	"github.com/sallyport/sallyport/ratelimit"
)

// BenchmarkTake says what a take costs the server, beside what it costs in all.
func BenchmarkTake(b *testing.B) {
	for _, form := range []string{"/1m", "/1m sliding", "/1m+20%"} {
		for _, limits := range []int{1, 4} {
			b.Run(fmt.Sprint(strings.TrimPrefix(form, "/"), "/limits=", limits), func(b *testing.B) { benchmarkTake(b, form, limits) })
		}
	}
}

func benchmarkTake(b *testing.B, form string, limits int) {
	server := testenv.StartRedis(b)
	c := open(b, Options{Addresses: []string{server.Addr}, Timeout: lenient})
	var charges []sallyport.Charge
	for i := range limits {
		charge := sallyport.Charge{Limit: &sallyport.Limit{Name: fmt.Sprint("limit-", i), Per: []string{"credential"}}}
		for _, text := range []string{"1000000000" + form, "1000000000/1h"} {
			w, err := sallyport.ParseWindow(text)
			if err != nil {
				b.Fatal(err)
			}
			charge.Windows = append(charge.Windows, w)
		}
		charges = append(charges, charge)
	}
	before := cpu(b, server)
	var n atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	each := b.N/64 + 1
	for range 64 {
		wg.Go(func() {
			for range each {
				i := n.Add(1)
				call := ratelimit.Call{
					Now: time.Now(), SID: strconv.FormatInt(i, 36), Hits: 1, Charges: charges,
					Subject: &sallyport.Subject{API: "orders", Tenant: "t1", Credential: strconv.FormatInt(i%1000, 10)},
				}
				if _, err := c.Take(ctx, call); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric((cpu(b, server)-before)*1e6/float64(n.Load()), "redis-µs/op")
}

// cpu is the seconds of CPU that server has used.
func cpu(b *testing.B, server *testenv.RedisServer) (sum float64) {
	for line := range strings.Lines(server.Do("INFO", "cpu")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil {
				b.Fatal(err)
			}
			sum += seconds
		}
	}
	return sum
}
