#!/usr/bin/env bash
# Builds the image from the Dockerfile with buildah, as root, on a base by debootstrap, and prints the path of
# its archive. The first build takes about three minutes and needs a network; later ones are shorter, and
# without a change there is none. `build-image.sh -n` builds nothing.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

die() { echo "build-image.sh: $*" >&2; exit 1; }

cache=${CACHE:-${TMPDIR:-/tmp}/vipward-image-$UID}
base=localhost/debian:bookworm-slim
inputs=(Dockerfile .dockerignore package.json package-lock.json .npmrc tsconfig.json
  native bin src deploy)
sum=$(find "${inputs[@]}" -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-16)
archive=$cache/$sum.tar

if [ ! -e "$archive" ]; then
  [ "${1:-}" != -n ] || die "no image of this tree in $cache: run it without -n, with a network"
  [ "$UID" = 0 ] || die 'run it as root'
  for program in buildah debootstrap; do command -v "$program" >/dev/null || die "apt install $program"; done
  mkdir -p "$cache"
  exec 9>"$cache/lock"; flock 9
  store=(buildah --root "$cache/store" --runroot "$cache/run")
  if ! "${store[@]}" inspect --type image "$base" >/dev/null 2>&1; then
    debootstrap --variant=minbase bookworm "$cache/base" >&2
    container=$("${store[@]}" from scratch)
    "${store[@]}" copy --quiet "$container" "$cache/base" / >&2
    "${store[@]}" commit --quiet --rm "$container" "$base" >&2
    rm -rf "$cache/base"
  fi
  # Behind a proxy that intercepts TLS the build needs the CA of the proxy too.
  proxy=()
  [ -z "${NODE_EXTRA_CA_CERTS:-}" ] ||
    proxy=(--build-arg NODE_EXTRA_CA_CERTS=/run/ca.crt --volume "$NODE_EXTRA_CA_CERTS:/run/ca.crt:ro")
  "${store[@]}" build --quiet --layers --isolation chroot --network host --pull-never "${proxy[@]}" \
    -t vipward:built . >&2
  rm -f "$cache"/*.tar
  "${store[@]}" push --quiet vipward:built "docker-archive:$archive.new:localhost/vipward:built"
  mv "$archive.new" "$archive"
fi
echo "$archive"
