#!/bin/sh
# Prints the path of istiod, Istio's control plane, building it if there is none.
#
# In this order: $ISTIOD; .tools/istio/pilot-discovery of this project, which is
# built from the module tests/istio, whose go.sum pins every byte. That takes some
# minutes the first time, 160 MB of modules and 2 GB of Go's build cache. Only the
# path goes to standard output.
set -eu

if [ -n "${ISTIOD:-}" ]; then
	if ! [ -x "$ISTIOD" ] || [ -d "$ISTIOD" ]; then
		printf 'istiod.sh: ISTIOD=%s is not an executable file\n  hint: unset it, or point it at a pilot-discovery binary\n' "$ISTIOD" >&2
		exit 1
	fi
	printf '%s\n' "$ISTIOD"
	exit 0
fi

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
target=$root/.tools/istio/pilot-discovery
# Beside the binary stands what it was built from, so that a new pin replaces it.
if [ -x "$target" ] && cmp -s "$root/tests/istio/go.mod" "$root/.tools/istio/go.mod"; then
	printf '%s\n' "$target"
	exit 0
fi

printf 'istiod.sh: building Istio'"'"'s control plane, once; this takes some minutes\n' >&2
mkdir -p "$root/.tools/istio"
work=$(mktemp -d "$root/.tools/istio/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$root/tests/istio"
go build -trimpath -ldflags "-s -w" -o "$work/pilot-discovery" istio.io/istio/pilot/cmd/pilot-discovery
cp go.mod "$work/go.mod"
# Renames are whole or not at all; go.mod goes last, since it vouches for the binary.
mv -f "$work/pilot-discovery" "$target"
mv -f "$work/go.mod" "$root/.tools/istio/go.mod"
printf '%s\n' "$target"
