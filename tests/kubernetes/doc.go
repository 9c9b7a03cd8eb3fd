// Package kubernetes holds the chart and the manifests under deploy to what
// Kubernetes takes: the chart is rendered by Helm's own engine, deploy/kubernetes
// is what it renders, and every object is read strictly and judged by the API
// server's own validation, those of Istio, Envoy Gateway and the Gateway API by
// their definitions' schemas and rules.
//
//	make test-kubernetes
//
// It is a module of its own, so that nobody else downloads Kubernetes. That the
// pods run is seen by tests/e2e.
package kubernetes
