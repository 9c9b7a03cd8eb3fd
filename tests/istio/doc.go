// Package istio names the version of Istio's control plane that Sallyport is tested
// with, in a module of its own: nothing of Istio is a dependency of Sallyport.
// scripts/controlplane.sh builds it from here, unchanged, and tests/e2e runs it on the
// very objects of deploy/istio, with a stand-in for Kubernetes and stock Envoys.
//
//	make test-istio
//
// There is no tagged module of Istio, so that the version is a commit's.
package istio
