#!/bin/sh
# Prints the path of a Redis server binary, fetching one if there is none.
#
# In this order: $REDIS_SERVER; a `redis-server` or `valkey-server` on PATH;
# .tools/redis/redis-server of this project, which is put there from the
# distribution's own packages (Debian, Ubuntu and their like), whose signatures
# apt checks. Nothing is installed into the system, and an interrupted run leaves
# nothing half-done. Only the path goes to standard output.
set -eu

# Where the server is, and the libraries that a small system may be without.
packages='redis-tools'
libraries='libatomic1 libjemalloc2 liblzf1 libssl3 libssl3t64 libsystemd0 libcap2 libgcrypt20 libgpg-error0 liblzma5 liblz4-1 libzstd1 liblua5.1-0 lua-cjson lua-bitop'

fail() {
	printf 'redis.sh: %s\n' "$1" >&2
	printf '  hint: %s\n' "$2" >&2
	exit 1
}

if [ -n "${REDIS_SERVER:-}" ]; then
	[ -x "$REDIS_SERVER" ] && [ ! -d "$REDIS_SERVER" ] ||
		fail "REDIS_SERVER=$REDIS_SERVER is not an executable file" "point it at a redis-server or valkey-server binary, or unset it"
	printf '%s\n' "$REDIS_SERVER"
	exit 0
fi
for name in redis-server valkey-server; do
	if found=$(command -v "$name"); then
		printf '%s\n' "$found"
		exit 0
	fi
done

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
tools=$root/.tools
target=$tools/redis/redis-server
if [ -x "$target" ] && "$target" --version >/dev/null 2>&1; then
	printf '%s\n' "$target"
	exit 0
fi

other="put redis-server or valkey-server on PATH (such as: apt-get install redis-server) or set REDIS_SERVER=/path/to/redis-server"
for need in apt-get dpkg; do
	command -v "$need" >/dev/null ||
		fail "there is no Redis, and $need, with which one could be fetched, is not on PATH" "$other"
done

mkdir -p "$tools"
work=$(mktemp -d "$tools/redis.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

printf 'redis.sh: fetching Redis and its libraries (about 5 MB), once\n' >&2
mkdir "$work/packages" "$work/lib"
# Names of libraries differ between releases: those that this one knows are
# enough, and the last step shows whether anything is missing.
known=$(apt-cache pkgnames | grep -Fx "$(printf '%s\n' $libraries)" || true)
# shellcheck disable=SC2086 # several words
if ! (cd "$work/packages" && apt-get download $packages $known) >"$work/log" 2>&1; then
	cat "$work/log" >&2
	fail "Redis could not be fetched" "see above: no network, or no package lists (apt-get update); else $other"
fi
for file in "$work"/packages/*.deb; do
	dpkg -x "$file" "$work/unpacked"
done
find "$work/unpacked" -name '*.so*' -exec cp -P {} "$work/lib/" \;

# The package has one program under several names, which tell it what to be.
for name in redis-server redis-check-rdb; do
	if [ -f "$work/unpacked/usr/bin/$name" ]; then
		binary=$work/unpacked/usr/bin/$name
		break
	fi
done
[ -n "${binary:-}" ] || fail "the fetched packages hold no Redis server" "$other"

mkdir "$work/redis" "$work/redis/bin"
cp -L "$binary" "$work/redis/bin/redis-server"
mv "$work/lib" "$work/redis/lib"
cat >"$work/redis/redis-server" <<'WRAPPER'
#!/bin/sh
# Runs the Redis beside it with the libraries that were fetched for it.
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$here/bin/redis-server" "$@"
WRAPPER
chmod 755 "$work/redis/redis-server" "$work/redis/bin/redis-server"
"$work/redis/redis-server" --version >/dev/null 2>&1 ||
	fail "the fetched Redis does not run on this machine" "$other"

# Of two runs at once one puts its own in place, and the other finds it there.
rm -rf "$tools/redis"
mv "$work/redis" "$tools/redis" 2>/dev/null || [ -x "$target" ] ||
	fail "$tools/redis could not be put in place" "remove it and try again"
printf '%s\n' "$target"
