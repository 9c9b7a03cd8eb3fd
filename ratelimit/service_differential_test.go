package ratelimit_test

import (
	"context"
	"math"
	"math/rand"
	"testing"
	"time"

	"github.com/envoyproxy/ratelimit/src/config"
	"github.com/envoyproxy/ratelimit/src/provider"
	theirredis "github.com/envoyproxy/ratelimit/src/redis"
	service "github.com/envoyproxy/ratelimit/src/service"
	mockstats "github.com/envoyproxy/ratelimit/test/mocks/stats"
	gostats "github.com/lyft/gostats"
	"pgregory.net/rapid"

	"github.com/sallyport/sallyport/internal/testenv"
	"github.com/sallyport/sallyport/ratelimit"
)

// theirService is envoyproxy/ratelimit itself: its service, over its limiter,
// over its client, over a Redis.
type theirService struct {
	service.RateLimitServiceServer
	now time.Time
}

func (s *theirService) UnixNow() int64 { return s.now.Unix() }

// event is a configuration that has been loaded.
type event struct{ config config.RateLimitConfig }

func (e event) GetConfig() (config.RateLimitConfig, any) { return e.config, nil }

// nothing provides no configuration.
type nothing struct{}

func (nothing) ConfigUpdateEvent() <-chan provider.ConfigUpdateEvent { return nil }
func (nothing) Stop()                                                {}

// ones draws the largest jitter there is: the clock of a test moves otherwise
// than that by which Redis forgets.
type ones struct{}

func (ones) Int63() int64 { return math.MaxInt64 }
func (ones) Seed(int64)   {}

func newTheirService(t *testing.T, address string) *theirService {
	t.Setenv("PORT", "8080") // it reads its whole environment
	t.Setenv("LIMIT_RESPONSE_HEADERS_ENABLED", "true")
	s := &theirService{}
	store := gostats.NewStore(gostats.NewNullSink(), false)
	manager := mockstats.NewMockStatManager(store)
	client := theirredis.NewClientImpl(store, false, "", "tcp", "single", address, 2, 0, 0, nil, false, nil, 10*time.Second, "", "")
	t.Cleanup(func() { client.Close() })
	cache := theirredis.NewFixedRateLimitCacheImpl(client, nil, s, rand.New(ones{}), 1<<20, nil, 0.8, "", manager, false)
	s.RateLimitServiceServer = service.NewService(cache, nothing{}, manager, nil, s, false, true, false)
	return s
}

// TestTheServiceItself: what TestDescriptorsAreLimitedAsEnvoysRateLimitDoes says
// of envoyproxy/ratelimit is so.
func TestTheServiceItself(t *testing.T) {
	server := testenv.StartRedis(t)
	theirs := newTheirService(t, server.Addr)
	manager := mockstats.NewMockStatManager(gostats.NewStore(gostats.NewNullSink(), false))
	var seen tallies
	folder := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		server.Do("FLUSHALL")
		text := drawFile(t, []string{"second", "minute", "Hour", "DAY", "week", "month", "year"})
		said, ours := newReference(text), newOurs(t, folder, text, ratelimit.NewMemory())
		root := config.ConfigFileContentToYaml("file.yaml", string(text))
		theirs.SetConfig(event{config.NewRateLimitConfigImpl([]config.RateLimitConfigToLoad{{Name: "file.yaml", ConfigYaml: root}}, manager, false)}, false)
		now := time.Unix(1_700_000_000, 0)
		for range 20 {
			now = now.Add(rapid.SampledFrom([]time.Duration{0, 0, 0, time.Millisecond, 700 * time.Millisecond, time.Second, 40 * time.Second, time.Hour, 20 * 24 * time.Hour}).Draw(t, "later"))
			theirs.now, said.now, ours.now = now, now, now
			req := drawRequest(t, overrideUnits[:])
			if said.confuses(req) {
				continue
			}
			want, err := theirs.ShouldRateLimit(context.Background(), req)
			if err != nil {
				t.Fatal(err)
			}
			if said := said.answer(req); !same(said, want) {
				t.Fatalf("the reference says\n%v, and the service\n%v\n%s", said, want, text)
			}
			seen.equal(t, req, text, ours, want)
		}
	})
	seen.enough(t)
}
