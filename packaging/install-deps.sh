#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# install-deps.sh [build] [run] [test]: Debian 12 packages that are missing (default: all three sets).
# The one list of what Keelson needs. Quick and silent when all is there; otherwise needs root.
# Failure: exit code 1 and apt's own words.
set -euo pipefail

# What the sources include and link. gRPC's archives pull in c-ares and re2.
build=(
  cmake ninja-build ccache g++ lld pkg-config
  libabsl-dev libboost1.81-dev libc-ares-dev libcjson-dev libcli11-dev libcurl4-openssl-dev
  libgrpc++-dev libgrpc-dev libnl-3-dev libnl-route-3-dev libprotobuf-dev libre2-dev
  libseccomp-dev libssl-dev libsystemd-dev libyaml-cpp-dev
  protobuf-compiler protobuf-compiler-grpc zlib1g-dev
)
# What a node needs beside the agent. busybox, g++ and python3 make the quickstart's images.
run=(busybox-static ca-certificates containerd curl g++ iproute2 nftables procps python3 runc)
# What only tests use: the tools they look with, a registry, the Go plugins to compare with, a guest, a
# browser.
test=(
  chromium conntrack containernetworking-plugins cpio docker-registry git iptables jq kmod libgmock-dev
  libgtest-dev libnghttp2-dev qemu-system-x86
)

wanted=()
[ $# -gt 0 ] || set -- build run test
for set in "$@"; do
  case $set in
    build) wanted+=("${build[@]}") ;;
    run) wanted+=("${run[@]}") ;;
    test) wanted+=("${test[@]}") ;;
    *) sed -n '3,5s/^# //p' "$0" >&2; exit 2 ;;
  esac
done

# One dpkg-query for all; what it does not know it complains about, which is no error here.
mapfile -t missing < <(comm -23 <(printf '%s\n' "${wanted[@]}" | sort -u) \
  <({ dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "${wanted[@]}" 2>/dev/null || true; } |
    awk '$1 == "ii" { print $2 }' | sort -u))
[ ${#missing[@]} -gt 0 ] || exit 0

echo "installing: ${missing[*]}"
if [ "$(id -u)" -ne 0 ]; then echo "needs root to install packages" >&2; exit 1; fi
export DEBIAN_FRONTEND=noninteractive
# A policy for this one call: packages must not start daemons (containerd, docker-registry) here.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap 'rm -f $policy' EXIT
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod +x $policy
fi
install() {
  apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 install --no-install-recommends "${missing[@]}" </dev/null
}
# The lists of a fresh machine are empty or old: fetch them when the first attempt fails.
install || { apt-get -q -o DPkg::Lock::Timeout=300 update </dev/null && install; }
