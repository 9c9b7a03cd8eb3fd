package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/config"
)

// BenchmarkParse10k parses 10,000 operations: such as an API has, and such as
// make comparing templates dear.
func BenchmarkParse10k(b *testing.B) {
	usual := func(i int) string { return fmt.Sprintf("/v1/things%d/{id}/parts%d", i%100, i) }
	crossing := func(i int) string {
		if i%2 == 0 {
			return fmt.Sprintf("/a%d/c%d", i, i)
		}
		return fmt.Sprintf("/{x}/b%d", i)
	}
	for name, path := range map[string]func(int) string{"usual": usual, "crossing": crossing} {
		text := []byte(operations(10_000, path))
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				config.Parse("bench.yaml", text)
			}
		})
	}
}

// operations returns a configuration with n operations besides one.
func operations(n int, path func(i int) string) string {
	var b strings.Builder
	b.WriteString(minimal)
	for i := range n {
		fmt.Fprintf(&b, "      - {GET: %q, scope: orders:read}\n", path(i))
	}
	return b.String()
}
