#!/usr/bin/env bash
# boot.sh runs one command inside a Debian kernel of your choice and returns that command's exit status.
#
#   boot.sh [-a PATH]... [-w MODULE]... [-m MIB] [-c CPUS] [-t SECONDS] [-k] KERNEL COMMAND [ARGUMENT]...
#   boot.sh -f KERNEL       only fetches the kernel, for a run without a network later
#
#   KERNEL      a suite (bookworm, trixie, sid) for the kernel it installs, or the beginning of a version
#               (5.10, 6.1, 6.17.13) for the newest such kernel in any of $SUITES
#   -a PATH     copies a file or folder, and the shared libraries its programs need, to the same path in the
#               guest. The program of COMMAND is always copied. The guest starts in the current folder.
#   -w MODULE   leaves a kernel module out, so that the guest behaves like a kernel built without it
#   -m MIB      memory of the guest (1024)
#   -c CPUS     processors of the guest (1)
#   -t SECONDS  longest time by the clock of this machine (300)
#   -k          prints the guest's kernel log after the run
#
# The guest is an emulated machine with busybox, the modules below and what -a adds. It has no disk and no
# network card, and a clock that counts its instructions.
# ACCEL=kvm uses hardware virtualisation. It is not the default, because a /dev/kvm inside a virtual machine
# may open and then hang.
set -euo pipefail

SUITES=${SUITES:-bullseye-security bookworm bookworm-security trixie trixie-backports sid}
CACHE=${CACHE:-${TMPDIR:-/tmp}/kernels-$UID}

# The guest gets these modules and their dependencies, and its kernel loads them on demand, as on a host.
# Modules that a kernel does not have (built in, newer, or merged into another) are skipped.
MODULES="nfnetlink nf_tables nft_counter nft_ct nft_log nft_limit nft_quota nft_objref nft_hash
  nft_numgen nft_reject_inet nft_fib_inet nft_nat nft_masq nft_redir nft_chain_nat nft_compat
  nfnetlink_log nfnetlink_queue nf_log_syslog nf_conntrack_netlink ip_tables ip6_tables
  arp_tables iptable_raw ip6table_raw iptable_filter ip6table_filter iptable_mangle
  ip6table_mangle iptable_nat ip6table_nat ipt_REJECT ip6t_REJECT xt_tcpudp xt_multiport xt_set
  xt_comment ip6t_frag xt_conntrack xt_mark xt_addrtype xt_iprange xt_limit xt_CT xt_NFLOG xt_LOG xt_nat
  xt_MASQUERADE ip_set ip_set_hash_ip ip_set_hash_ipport ip_set_hash_ipportnet ip_set_hash_net
  netlink_diag sctp veth dummy bridge br_netfilter nf_conntrack_bridge macvlan ipvlan 8021q sch_ingress
  cls_u32"

added=() without=() memory=1024 cpus=1 seconds=300 log= fetch=
while getopts a:w:m:c:t:kf option; do
  case $option in
    a) added+=("$(realpath -s "$OPTARG")") ;;
    w) without+=("${OPTARG//-/_}") ;;
    m) memory=$OPTARG ;;
    c) cpus=$OPTARG ;;
    t) seconds=$OPTARG ;;
    k) log=yes ;;
    f) fetch=yes ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
[ $# -ge 2 ] || { [ "$fetch" ] && [ $# = 1 ]; } || { sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2; }
kernel=$1; shift
# Finds a kernel that was fetched before by its files, without a network.
local_release() {
  find "$CACHE" -maxdepth 1 -name "$kernel[!0-9]*-cloud-amd64" -printf '%f\n' 2>/dev/null | sort -V | tail -1
}

die() { echo "boot.sh: $*" >&2; exit 125; }
for tool in qemu-system-x86_64 busybox cpio xz flock dpkg-deb apt-get; do
  command -v "$tool" >/dev/null ||
    die "$tool is missing: install qemu-system-x86 busybox-static cpio xz-utils"
done
! ldd "$(command -v busybox)" >/dev/null 2>&1 || die "busybox is not static: install busybox-static"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT

# Each suite, and all of them together, have a private package state, so that the lists of this machine stay.
case $kernel in
  [0-9]*) state=$CACHE/apt/all suites=$SUITES ;;
  *) state=$CACHE/apt/$kernel suites=$kernel ;;
esac
private() { # TOOL ARGUMENT...: runs an apt tool on the private state.
  local tool=$1; shift
  "$tool" -qq -o Dir::State="$state" -o Dir::State::status=/dev/null \
    -o Dir::Cache="$state" -o Dir::Cache::pkgcache=pkg \
    -o Dir::Cache::srcpkgcache=src \
    -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o APT::Sandbox::User=root -o Acquire::Languages=none \
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}
refresh() { # Downloads the package lists, unless that was done within a day, from apt's own mirror.
  [ -z "$(find "$state/done" -mtime -1 2>/dev/null)" ] || return 0
  local targets suite label mirror
  targets=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian')
  mkdir -p "$state/lists/partial"
  for suite in $suites; do
    case $suite in *-security) label=Debian-Security ;; *) label=Debian ;; esac
    mirror=$(sed -n "s/^$label //p;" <<<"$targets" | head -1)
    [ "$mirror" ] || die "apt has no list of a $label archive: run apt-get update first"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
  done >"$state/sources.list"
  private apt-get update >&2 || die "no package lists for: $suites"
  touch "$state/done"
}
find_release() { # Prints the full name of the wanted kernel, such as 6.1.0-56-cloud-amd64.
  case $kernel in
    [0-9]*) private apt-cache pkgnames linux-image- |
      grep -E "^linux-image-${kernel//[.+]/[&]}([^0-9].*)?-cloud-amd64$" ;;
    *) private apt-cache depends linux-image-cloud-amd64 | grep -oE 'linux-image-[0-9].*' ;;
  esac | sed 's/^linux-image-//' | sort -V | tail -1
}
unpack() { # Unpacks all packages of the kernel, and moves the tree into place when it is complete.
  local packages
  packages=$(private apt-cache pkgnames linux- | grep -xE "linux-(image|binary|modules)-${release//[.+]/[&]}")
  (cd "$work" && private apt-get download $packages >&2 && for deb in *.deb; do dpkg-deb -x "$deb" tree; done)
  mv -T "$work/tree" "$tree"
}
mkdir -p "$CACHE"; exec 9>"$CACHE/lock"; flock 9
release=; [ "$fetch" ] || release=$(local_release)
if [ ! "$release" ]; then refresh; release=$(find_release) || true; fi
[ "$release" ] || die "no cloud kernel $kernel in $suites"
tree=$CACHE/$release
[ -d "$tree" ] || unpack
exec 9>&-
[ ! "$fetch" ] || exit 0
image=$(find "$tree" -name 'vmlinuz*' -type f | head -1)
modules=$(find "$tree" -path "*/modules/$release/kernel" -type d | head -1)
[ "$image" ] && [ "$modules" ] || die "the packages of $release hold no kernel image or no modules"

# The guest has the folders of Debian, so that each copied file keeps its path.
root=$work/root
mkdir -p "$root"/{usr/bin,usr/sbin,usr/lib/modules/"$release",usr/lib64,proc,sys,dev,run,tmp,root,"$PWD"}
for folder in bin sbin lib lib64; do ln -s usr/$folder "$root/$folder"; done
cp "$(command -v busybox)" "$root/bin/busybox"

find "$modules" -name '*.ko*' >"$work/modules"
add_modules() { # NAME...: copies modules and their dependencies, uncompressed: busybox reads no other form.
  local name file target
  for name; do
    [[ " ${without[*]-} " != *" ${name//-/_} "* ]] || continue
    file=$(grep -m1 -E "/${name//[_-]/[_-]}[.]ko([.]xz)?$" "$work/modules") || continue
    target=$root/lib/modules/$release/$name.ko
    [ ! -e "$target" ] || continue
    case $file in *.xz) xz -dc "$file" ;; *) cat "$file" ;; esac >"$target"
    add_modules $(tr '\0' '\n' <"$target" | sed -n 's/^depends=//p' | tr ',' ' ')
  done
}
add_modules $MODULES
busybox depmod -b "$root" "$release"

# Added files are packed from their own paths: copying thousands of files first takes longer than booting.
: >"$work/paths" >"$work/libraries"
add() { # PATH...: adds files and folders, and the shared libraries of the programs in them.
  local path
  for path; do
    [ -e "$path" ] || die "$path does not exist"
    find "$path" "$(readlink -f "$path")" >>"$work/paths"
    { find -L "$path" -type f \( -perm /111 -o -name '*.so*' -o -name '*.node' \) -exec ldd {} + \
      2>/dev/null || true; } | sed -nE 's/.*[[:space:]](\/[^ ]+) \(0x.*/\1/p' >>"$work/libraries"
  done
}
# Prints the folders above each path on standard input: the kernel does not make them by itself. Leaves out
# /bin and the other links of Debian, which exist.
folders() {
  awk -F/ '{ path = ""; for (i = 2; i < NF; i++) { path = path "/" $i; print path } }' |
    sed -E '\,^/(bin|sbin|lib|lib64)$,d'
}
pack() { # ARGUMENT...: an archive of the paths on standard input, by cpio.
  (cd / && LC_ALL=C sort -u | sed 's|^/||' | cpio -o -H newc --quiet "$@")
}
# busybox runs the programs that it knows by a bare name. Any other program is copied into the guest.
if [[ $1 == */* ]] || ! busybox --list | grep -qx -- "$1"; then
  program=$(command -v -- "$1") || die "$1: not found"
  program=$(realpath -s "$program"); shift; set -- "$program" "$@"
  added+=("$program")
fi
[ ${#added[@]} = 0 ] || add "${added[@]}"

# The first serial port carries the output of the command, the second the kernel's log, the third "up" and
# later the exit status.
{
  echo '#!/bin/busybox sh'
  echo '/bin/busybox --install -s /bin 2>/dev/null'
  echo 'export PATH=/usr/sbin:/usr/bin HOME=/root TERM=dumb LANG=C.UTF-8'
  echo 'mount -t proc proc /proc; mount -t sysfs sys /sys'
  echo 'mount -t devtmpfs dev /dev; mount -t tmpfs run /run'
  echo 'ln -s /proc/self/fd /dev/fd; ln -s /bin/modprobe /sbin/modprobe; ip link set lo up'
  echo 'stty -opost </dev/ttyS0; echo up >/dev/ttyS2'
  printf '{ cd %q; %s; echo $? >/run/status; } 2>&1 </dev/null | cat >/dev/ttyS0\n' \
    "$PWD" "$(printf '%q ' "$@")"
  echo 'cat /run/status >/dev/ttyS2; poweroff -f'
} >"$root/init"
chmod +x "$root/init"
{
  (cd "$root" && find . | cpio -o -H newc --quiet)
  { folders <"$work/paths"; folders <"$work/libraries"; cat "$work/paths"; } | pack
  pack -L <"$work/libraries"
} >"$work/initramfs"

# All emulated processors share one thread, because several threads break a kernel that patches its own code.
# The guest has a clock of its own: an instruction takes a nanosecond, and idle time passes at once. So the
# load of this machine does not change what the guest takes for late, and waiting costs nothing; therefore it
# gives way to every other program. Without erms and fsrm the kernel does not copy memory byte by byte, which
# would take an emulated instruction for each byte. Without smap and smep the kernel does not guard itself at
# each access to a process, and without la57 its page tables have one level less: together that saves a
# twelfth of the time.
accel=${ACCEL:-tcg,thread=single} clock=()
[[ $accel != tcg* ]] || clock=(-icount shift=0,sleep=off)
boot() {
  timeout "$seconds" nice -n 19 qemu-system-x86_64 -accel "$accel" "${clock[@]}" -M q35 \
    -cpu max,-erms,-fsrm,-smap,-smep,-la57 -smp "$cpus" -m "$memory" -nodefaults -display none \
    -no-reboot -kernel "$image" -initrd "$work/initramfs" \
    -append "console=ttyS1 quiet panic=-1 mitigations=off" \
    -chardev stdio,id=out,signal=off -serial chardev:out \
    -serial file:"$work/log" -serial file:"$work/status" </dev/null ||
    { [ $? != 124 ] || echo "boot.sh: stopped after $seconds s" >&2; }
}
# A kernel that dies before it starts the command gets a second try.
boot; grep -q up "$work/status" || boot
status=$(sed -n '2{s/[^0-9]//g;p}' "$work/status")
if [ "$log" ] || [ ! "$status" ]; then cat "$work/log" >&2; fi
[ "$status" ] || die "the guest ended without an exit status; its kernel log is above"
exit "$status"
