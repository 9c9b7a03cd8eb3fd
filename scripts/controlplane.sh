#!/bin/sh
# Prints the path of a control plane that the tests run, building it if there is
# none: istiod, or envoy-gateway and its egctl.
#
#	scripts/controlplane.sh istiod
#
# In this order: $ISTIOD, $ENVOY_GATEWAY or $EGCTL; .tools/NAME of this project,
# which is built from the module tests/istio or tests/envoygateway, whose go.sum
# pins every byte. That takes some minutes the first time, 160 or 360 MB of modules
# and 2 GB of Go's build cache. Only the path goes to standard output.
set -eu

fail() {
	printf 'controlplane.sh: %s\n' "$1" >&2
	printf '  hint: %s\n' "$2" >&2
	exit 1
}

name=${1:-}
case $name in
istiod) module=tests/istio package=istio.io/istio/pilot/cmd/pilot-discovery variable=ISTIOD given=${ISTIOD:-} ;;
envoy-gateway) module=tests/envoygateway package=github.com/envoyproxy/gateway/cmd/envoy-gateway variable=ENVOY_GATEWAY given=${ENVOY_GATEWAY:-} ;;
egctl) module=tests/envoygateway package=github.com/envoyproxy/gateway/cmd/egctl variable=EGCTL given=${EGCTL:-} ;;
*) fail "unknown control plane \"$name\"" "name one of istiod, envoy-gateway, egctl" ;;
esac

if [ -n "$given" ]; then
	if ! [ -x "$given" ] || [ -d "$given" ]; then
		fail "$variable=$given is not an executable file" "unset it, or point it at a binary of $name"
	fi
	printf '%s\n' "$given"
	exit 0
fi

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
target=$root/.tools/$name
# Beside the binary stands what it was built from, so that a new pin replaces it.
if [ -x "$target/$name" ] && cmp -s "$root/$module/go.mod" "$target/go.mod"; then
	printf '%s\n' "$target/$name"
	exit 0
fi

printf 'controlplane.sh: building %s, once; this takes some minutes\n' "$name" >&2
mkdir -p "$target"
work=$(mktemp -d "$target/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$root/$module"
go build -trimpath -ldflags "-s -w" -o "$work/$name" "$package"
cp go.mod "$work/go.mod"
# Renames are whole or not at all; go.mod goes last, since it vouches for the binary.
mv -f "$work/$name" "$target/$name"
mv -f "$work/go.mod" "$target/go.mod"
printf '%s\n' "$target/$name"
