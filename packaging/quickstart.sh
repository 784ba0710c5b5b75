#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# quickstart.sh [up]   builds Keelson and runs a web pod with it, on a containerd of its own
# quickstart.sh down   removes everything that `up` made (packages and the build stay)
#
# Works on Debian 12 with and without systemd. Nothing outside /run/keelson-quickstart,
# /var/lib/keelson-quickstart, the link and cgroup keelson-qs and build/ is touched.
#   KEELSON_BUILD   folder of the build trees (default: build)
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
run=/run/keelson-quickstart
lib=/var/lib/keelson-quickstart
name=keelson-qs
trees=$(realpath -m "${KEELSON_BUILD:-$top/build}")
build=$trees/release
kubelet=$build/kubelet/kubelet
socket=$lib/kubelet/nodectl.sock
export KEELSON_NAME=$name KEELSON_SUBNET=10.88.64.0/20 KEELSON_ROOT=$lib/containerd
export KEELSON_CNI_BIN=$build/cni KEELSON_IMAGES=$trees/images KEELSON_SOCKET=$socket

if [ -t 1 ]; then bold=$'\e[1m' green=$'\e[32m' plain=$'\e[0m'; else bold='' green='' plain=''; fi
step() { printf '%s==>%s %s\n' "$bold" "$plain" "$*"; }
good() { printf '    %s%s%s\n' "$green" "$*" "$plain"; }
die() { printf 'quickstart: %s\n' "$*" >&2; exit 1; }
nodectl() { "$build/tools/nodectl" "$@"; }

# The agent's process, known by its configuration file; nothing when it does not run.
agent_pid() {
  local pid
  pid=$(cat "$run/kubelet.pid" 2>/dev/null) || return 0
  [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] || return 0
  if tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qxF "$lib/config.yaml"; then echo "$pid"; fi
}

stop_agent() {
  local pid
  pid=$(agent_pid)
  [ -n "$pid" ] || return 0
  kill "$pid"
  for _ in $(seq 100); do
    [ -n "$(agent_pid)" ] || return 0
    sleep 0.1
  done
  kill -KILL "$pid"
}

build_all() {
  local log=$trees/quickstart.log
  mkdir -p "$trees"
  cmake -S "$top" -B "$build" --preset release >"$log" 2>&1 || { tail -20 "$log" >&2; die "cmake failed; see $log"; }
  if [ -t 1 ]; then
    ninja -C "$build" kubelet nodectl keelson-cni || die "the build failed"
  else
    ninja -C "$build" kubelet nodectl keelson-cni >>"$log" 2>&1 || { tail -40 "$log" >&2; die "the build failed; see $log"; }
  fi
}

# Below a cgroup of our own, in every hierarchy, so that `down` knows what to remove.
cgroup_dirs() {
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo "/sys/fs/cgroup/$name"; return; fi
  local mount
  for mount in /sys/fs/cgroup/*/; do
    [ -e "$mount/cgroup.procs" ] && echo "$mount$name"
  done
}

make_cgroups() {
  local dir
  for dir in $(cgroup_dirs); do mkdir -p "$dir"; done
}

remove_cgroups() {
  local dir
  for dir in $(cgroup_dirs); do
    if [ -d "$dir" ]; then find "$dir" -depth -type d -exec rmdir {} \; ; fi
  done
}

# The plugins' tables, which other agents of this node may share.
tables() { nft list tables inet 2>/dev/null | grep -o 'keelson_[a-z]*' || true; }

note_tables() {
  mkdir -p "$lib"
  [ -e "$lib/tables" ] || tables >"$lib/tables"
}

# Those that were not there before and hold nothing any more.
remove_tables() {
  local table
  [ -e "$lib/tables" ] || return 0
  for table in $(tables); do
    if grep -qx "$table" "$lib/tables" || nft list table inet "$table" | grep -q 'elements ='; then continue; fi
    nft delete table inet "$table"
  done
}

write_config() {
  mkdir -p "$lib/kubelet" "$lib/manifests" "$lib/pod-logs"
  cat >"$lib/config.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: $lib/manifests
podLogsDir: $lib/pod-logs
containerRuntimeEndpoint: unix://$run/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$name
failCgroupV1: false
failSwapOn: false
healthzPort: 0
enableServer: false
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
EOF
}

start_agent() {
  stop_agent
  setsid "$kubelet" --config "$lib/config.yaml" --root-dir "$lib/kubelet" --hostname-override quickstart \
    >>"$run/kubelet.log" 2>&1 </dev/null &
  echo $! >"$run/kubelet.pid"
  for _ in $(seq 300); do
    if nodectl get pods >/dev/null 2>&1; then return; fi
    [ -n "$(agent_pid)" ] || break
    sleep 0.1
  done
  tail -5 "$run/kubelet.log" >&2
  die "the agent does not come up; see $run/kubelet.log"
}

# The port the page was on before, or the first free one.
host_port() {
  local port
  port=$(sed -n 's/.*hostPort: \([0-9]*\).*/\1/p' "$lib/manifests/web.yaml" 2>/dev/null || true)
  if [ -n "$port" ]; then echo "$port"; return; fi
  for port in $(seq 8080 8199); do
    if ! ss -Hltn "sport = :$port" | grep -q .; then echo "$port"; return; fi
  done
  die "no free port between 8080 and 8199"
}

write_pod() {
  local port=$1
  cat >"$lib/.web.yaml" <<EOF
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web}
spec:
  terminationGracePeriodSeconds: 2
  containers:
  - name: server              # serves what lies in /www
    image: docker.io/keelson/testserver:1
    args: [serve, "8080", /www]
    ports: [{name: http, containerPort: 8080, hostPort: $port}]
    resources: {requests: {cpu: 50m, memory: 16Mi}, limits: {memory: 64Mi}}
    volumeMounts: [{name: page, mountPath: /www, readOnly: true}]
  - name: writer              # writes the page
    image: docker.io/keelson/testserver:1
    args: [page, /www/index.html, "Hello from Keelson: two containers, one volume, one page."]
    volumeMounts: [{name: page, mountPath: /www}]
  volumes:
  - name: page
    emptyDir: {}
EOF
  mv "$lib/.web.yaml" "$lib/manifests/web.yaml"
}

wait_running() {
  local state last=''
  for _ in $(seq 600); do
    state=$(nodectl get pods | awk '$2 ~ /^web-/ { print $3, $4 }')
    if [ "$state" != "$last" ]; then printf '    web: %s\n' "${state:-not seen yet}"; last=$state; fi
    [ "$state" = "2/2 Running" ] && return
    sleep 0.1
  done
  nodectl events >&2 || true
  die "the pod does not run; see $run/kubelet.log"
}

# A container that runs may not listen yet, and its sidecar may not have written yet.
fetch() {
  local page=''
  for _ in $(seq 50); do
    page=$(curl -fsS --max-time 5 "http://$1/" 2>&1) && [[ $page == *Keelson* ]] && break
    sleep 0.1
  done
  [[ $page == *Keelson* ]] || die "no page from $1: $page"
  echo "$page"
}

explain() {
  cat <<EOF

Look around:
  export KEELSON_SOCKET=$socket PATH=$build/tools:\$PATH
  nodectl get pods -o wide
  nodectl describe pod web-quickstart
  nodectl logs -f web-quickstart -c server
  nodectl events
  less $run/kubelet.log

Change it: edit, add or remove files in $lib/manifests
Stop and remove everything: sudo $top/packaging/quickstart.sh down
EOF
}

up() {
  local port ip
  step "Packages"
  "$top/packaging/install-deps.sh" build run
  step "Build (the first one takes some minutes)"
  build_all
  step "containerd, private, with images made here"
  mkdir -p "$run"
  good "$("$top/test/integration/lib/containerd.sh" start "$run")"
  step "The agent"
  note_tables
  make_cgroups
  write_config
  start_agent
  good "kubelet, process $(agent_pid), manifests in $lib/manifests"
  step "A web pod"
  port=$(host_port)
  write_pod "$port"
  wait_running
  echo
  nodectl get pods -o wide
  echo
  ip=$(nodectl get pods -o wide | awk '$2 ~ /^web-/ { print $7 }')
  step "Its page by pod IP, http://$ip:8080/"
  good "$(fetch "$ip:8080")"
  step "Its page by host port, http://127.0.0.1:$port/"
  good "$(fetch "127.0.0.1:$port")"
  explain
}

# Pods first, by the agent itself; what is left is removed by name.
down() {
  if [ -n "$(agent_pid)" ]; then
    step "Pods"
    rm -f "$lib"/manifests/*
    for _ in $(seq 300); do
      [ -n "$(nodectl get pods 2>/dev/null | awk 'NR > 1')" ] || break
      sleep 0.1
    done
  fi
  step "Processes, mounts, links, rules, cgroups, folders"
  stop_agent
  "$top/test/integration/lib/containerd.sh" stop "$run"
  remove_cgroups
  remove_tables
  # What an agent that was killed left.
  awk -v p="$lib/" 'index($5, p) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r umount -l
  find /var/log/containers -lname "$lib/*" -delete 2>/dev/null || true
  rm -rf "$run" "$lib"
  good "nothing is left"
}

[ "$(id -u)" = 0 ] || die "needs root: sudo $0 $*"
case ${1:-up} in
  up) up ;;
  down) down ;;
  *) sed -n '3,4s/^# //p' "$0" >&2; exit 2 ;;
esac
