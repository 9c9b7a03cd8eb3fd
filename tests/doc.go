// Package tests holds the house to its rules: which room may import which,
// where heavy dependencies live, how long a function may be, that what is
// promised is proved, that bundled configurations are what is generated. It
// starts nothing and takes a second or two.
//
// Beside it stand the black-box suites: script (the command line, run from
// cmd/sallyport), e2e (the built binary behind a real Envoy, also where Istio or
// Envoy Gateway tells that what to do) and load (CPU against a baseline, a module
// of its own). What the examples promise is read by requests.
package tests
