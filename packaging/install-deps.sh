#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# install-deps.sh [build] [run] [test]: installs what is missing of these groups (default: all).
# The one list of Debian 12 packages that Keelson needs. Quick, and offline, when nothing is missing.
set -euo pipefail

# To build: compiler and tools, then libraries in the order of docs and CMake.
build="cmake ninja-build ccache g++ pkg-config lld git
  libgrpc++-dev libgrpc-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev libabsl-dev
  libnl-3-dev libnl-route-3-dev libmnl-dev libseccomp-dev libsystemd-dev
  libcjson-dev libyaml-cpp-dev libboost1.81-dev libssl-dev libcurl4-openssl-dev libnghttp2-dev
  libcli11-dev libspdlog-dev libfmt-dev prometheus-cpp-dev
  libgtest-dev libgmock-dev libbenchmark-dev"
# To run pods, here and in the quickstart: the runtime, and what images are made of.
run="containerd runc iproute2 curl ca-certificates python3 gcc libc6-dev busybox-static procps"
# Only tests: Go plugins to compare with, a registry, packet filter tools, a guest for other kernels.
test="containernetworking-plugins docker-registry iptables nftables conntrack jq kmod cpio
  qemu-system-x86"

wanted=""
for group in ${@:-build run test}; do
  case $group in
    build | run | test) wanted="$wanted ${!group}" ;;
    *) echo "usage: install-deps.sh [build] [run] [test]" >&2; exit 2 ;;
  esac
done

# shellcheck disable=SC2086  # lists are meant to split
missing() {
  local installed
  installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' $wanted 2>/dev/null | awk '$1 == "ii" { print $2 }' || true)
  printf '%s\n' $wanted | sort -u | grep -vxFf <(printf '%s\n' "$installed") || true
}

needed=$(missing)
[ -n "$needed" ] || exit 0
if [ "$(id -u)" != 0 ]; then
  echo "missing packages, to be installed as root:" $needed >&2
  exit 1
fi
echo "Installing:" $needed
export DEBIAN_FRONTEND=noninteractive
# No service of ours or of Debian starts: containerd is run privately, the registry by tests.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get -qq update
# shellcheck disable=SC2086
apt-get -qq install -y --no-install-recommends $needed
