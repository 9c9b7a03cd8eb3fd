// Package envoygateway names the version of Envoy Gateway that Sallyport is tested
// with, in a module of its own: nothing of Envoy Gateway is a dependency of
// Sallyport. scripts/controlplane.sh builds it from here, unchanged, and tests/e2e
// gives it the very objects of deploy/envoy-gateway, without Kubernetes, and runs
// the Envoy that it configures.
//
//	make test-envoy-gateway
package envoygateway
