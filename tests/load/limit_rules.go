package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ruleCounts are the domains of the rules: each has so many.
var ruleCounts = []int{10, 1000, 10_000}

func ruleDomain(rules int) string { return fmt.Sprintf("rules-%d", rules) }

func routeName(i int) string { return fmt.Sprintf("route-%05d", i) }

// writeRules writes a file for every domain into dir, in the YAML of
// envoyproxy/ratelimit.
func writeRules(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, n := range ruleCounts {
		if err := os.WriteFile(filepath.Join(dir, ruleDomain(n)+".yaml"), []byte(rulesText(n)), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// rulesText is a domain of so many rules that count a subject on a route and are
// too high to refuse anyone, and one more that allows one request an hour.
func rulesText(rules int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "domain: %s\ndescriptors:\n", ruleDomain(rules))
	fmt.Fprintf(&b, "  - {key: once, rate_limit: {unit: hour, requests_per_unit: 1}}\n")
	for i := range rules {
		fmt.Fprintf(&b, "  - {key: route, value: %s, descriptors: [{key: subject, rate_limit: {unit: hour, requests_per_unit: 4000000000}}]}\n", routeName(i))
	}
	return b.String()
}
