#!/bin/sh
# Prints the path of a Chromium binary, installing one if there is none.
#
# In this order: $CHROMIUM; a `chromium`, `chromium-browser`, `google-chrome` or
# `google-chrome-stable` on PATH; the distribution's own package (Debian and its
# like), whose signature apt checks, where this runs as root: a browser needs too
# much of the system to stand in a folder of its own. Only the path goes to
# standard output.
set -eu

fail() {
	printf 'chromium.sh: %s\n' "$1" >&2
	printf '  hint: %s\n' "$2" >&2
	exit 1
}

# Ubuntu has a stand-in of that name for a package of another kind; it does not
# run in a container, so what counts is that it says its version.
find_one() {
	for name in chromium chromium-browser google-chrome google-chrome-stable; do
		if found=$(command -v "$name") && "$found" --version >/dev/null 2>&1; then
			printf '%s\n' "$found"
			return 0
		fi
	done
	return 1
}

if [ -n "${CHROMIUM:-}" ]; then
	[ -x "$CHROMIUM" ] && [ ! -d "$CHROMIUM" ] ||
		fail "CHROMIUM=$CHROMIUM is not an executable file" "point it at a Chromium or Chrome binary, or unset it"
	printf '%s\n' "$CHROMIUM"
	exit 0
fi
find_one && exit 0

other="put chromium or google-chrome on PATH (such as: apt-get install chromium) or set CHROMIUM=/path/to/chromium"
command -v apt-get >/dev/null ||
	fail "there is no Chromium, and apt-get, with which one could be installed, is not on PATH" "$other"
[ "$(id -u)" = 0 ] ||
	fail "there is no Chromium, and only root may install one" "$other"

printf 'chromium.sh: installing Chromium (about 150 MB), once\n' >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 1' HUP INT TERM
install() { DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium >>"$log" 2>&1; }
# Without package lists, or with old ones, only fresh ones help.
if ! install && ! { apt-get update >>"$log" 2>&1 && install; }; then
	cat "$log" >&2
	fail "Chromium could not be installed" "see above: is there a network? Else $other"
fi
find_one || fail "the installed Chromium does not run on this machine" "$other"
