// Package demo runs the whole gate on one machine for somebody who wants to see
// it: the server, a real Envoy with the generated configuration, an upstream
// that shows what it was sent, and tenants with keys.
//
// Everything lives in one temporary directory and in this process and its one
// child, so that nothing is left when it ends, however it ends. It is not a way
// to run the gate for real: keys are printed, and the store is thrown away.
package demo
