# What there is to do here. Plain Go does the work: nothing below is needed to
# build, test or use Sallyport, it is shorter to type.

# One flag for all, so that what was compiled once is not compiled again.
export GOFLAGS := $(strip $(GOFLAGS) -trimpath)

FUZZTIME ?= 1m

.DEFAULT_GOAL := help
.PHONY: help build demo test test-envoys test-istio test-envoy-gateway test-kubernetes bench soak fuzz golden clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/sallyport
	go build -o bin/sallyport ./cmd/sallyport

demo: build ## a real Envoy, an upstream and keys on this machine; ARGS="aiia --chain fused"
	@envoy=$$(scripts/envoy.sh) && ENVOY=$$envoy exec bin/sallyport demo $(ARGS)

test: ## everything that must hold, and a count of it
	@go run ./internal/tools/check

test-envoys: ## on every version of Envoy that Sallyport is good for
	@go run ./internal/tools/check envoys

test-istio: ## with Istio's own control plane, which the first time builds for some minutes; ARGS=-update writes the golden files
	@go run ./internal/tools/check $(ARGS) istio

test-envoy-gateway: ## with Envoy Gateway itself, which the first time builds for some minutes
	@go run ./internal/tools/check envoygateway

test-kubernetes: ## the chart and the manifests, by Kubernetes' own validation; ARGS=-update writes the manifests anew
	@go run ./internal/tools/check $(ARGS) kubernetes

bench: build ## what everything costs, in ratios, into tests/load/RESULT.txt; QUICK=1 for a first look
	@redis=$$(scripts/redis.sh) && export PATH="$$PATH:$$(dirname "$$redis")" && set -x && \
	cd tests/load && go run . -sallyport ../../bin/sallyport $(if $(QUICK),-quick,-o RESULT.txt) $(ARGS)

soak: build ## right answers and flat memory while keys, configuration and Redis change, for TIME (20m)
	@redis=$$(scripts/redis.sh) && export PATH="$$PATH:$$(dirname "$$redis")" && set -x && \
	cd tests/load && go run . -sallyport ../../bin/sallyport -soak $(or $(TIME),20m) $(ARGS)

fuzz: ## each fuzz target for FUZZTIME (1m)
	@go run ./internal/tools/check -fuzztime $(FUZZTIME) fuzz

golden: ## write the golden files anew; the review shows what changed
	go test ./envoy ./internal/config ./tests -update

clean: ## remove what was built and fetched into this folder
	rm -rf bin .tools
