#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# quickstart_test.sh QUICKSTART BUILD: the first command of the README, twice, after a crash, and its end.
# In a network namespace of its own, so that links, rules and ports are its own too.
set -euo pipefail
quickstart=$1
export KEELSON_BUILD=$2
run=/run/keelson-quickstart
lib=/var/lib/keelson-quickstart

if [ "${3:-}" != inside ]; then
  if [ -e $run ]; then echo "a quickstart is running here"; exit 77; fi
  exec unshare --net -- "$0" "$quickstart" "$KEELSON_BUILD" inside
fi

fail() { echo "FAILED: $*"; exit 1; }
trap '"$quickstart" down >/dev/null 2>&1' EXIT

# Runs it and looks for what it promises to show.
up() {
  local said
  said=$("$quickstart") || fail "up: $said"
  echo "$said"
  [[ $said =~ NAMESPACE.*NAME.*READY.*STATUS.*RESTARTS.*IP ]] || fail "no table"
  [[ $said =~ default\ +web-quickstart\ +2/2\ +Running\ +0\  ]] || fail "the pod is not Running without a restart"
  [ "$(grep -c 'Hello from Keelson' <<<"$said")" = 2 ] || fail "the page did not come twice"
  [[ $said == *"nodectl get pods"* && $said == *"quickstart.sh down"* ]] || fail "no word of what to do next"
}

# Everything of it that can be found.
leftovers() {
  ls -d $run $lib 2>/dev/null || true
  ps -eo args | grep keelson-quickstart | grep -v -e grep -e "$0" || true
  awk '{ print $5 }' /proc/self/mountinfo | grep keelson-quickstart || true
  find /sys/fs/cgroup -maxdepth 2 -name keelson-qs
  ip -o link | grep -v ' lo:' || true
  nft list tables
  find /var/lib/cni/results -name 'keelson-qs-*' 2>/dev/null || true
  find /var/log/containers -lname '*keelson-quickstart*' 2>/dev/null || true
}

ip link set lo up
up
echo "== again"
up
echo "== after a crash"
kill -KILL "$(cat $run/kubelet.pid)"
up
echo "== down"
"$quickstart" down
left=$(leftovers)
[ -z "$left" ] || fail "left behind: $left"
"$quickstart" down >/dev/null || fail "down a second time"
