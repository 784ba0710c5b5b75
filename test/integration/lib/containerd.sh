#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A containerd of our own: its root, state, socket, network and images lie below one folder.
#
#   containerd.sh start DIR [1.6|2]   prints the socket's path once it serves and has the images
#   containerd.sh stop DIR            removes every process, mount, link, rule and cgroup it made
#   containerd.sh reboot DIR          kills and starts only the daemon; containers live on
#
# 1.6 is the machine's /usr/bin/containerd, 2 is Debian sid's (fetch-containerd). Environment:
#   KEELSON_CNI_BIN      folder of CNI plugins   (default: of the newest build, else /usr/lib/cni)
#   KEELSON_IMAGES       folder for built images (default: build/images)
#   KEELSON_NAME         name of network and bridge, at most 13 letters (default: kl and a hash of DIR)
#   KEELSON_SUBNET       of the pods             (default: a /20 of 10.128.0.0/10 by the same hash)
#   KEELSON_ROOT         folder of image data    (default: DIR/root)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
usage() { sed -n '3,16s/^# \{0,1\}//p' "$0" >&2; exit 2; }

# Which plugins: our own when built.
cni_bin() {
  local dir
  for dir in ${KEELSON_CNI_BIN:-} "$top/build/release/cni" "$top/build/dev/cni" /usr/lib/cni; do
    if [ -x "$dir/bridge" ]; then echo "$dir"; return; fi
  done
  echo "no CNI plugins: build first, or set KEELSON_CNI_BIN" >&2
  return 1
}

data() { echo "${KEELSON_ROOT:-$1/root}"; }

# overlayfs does not stack on overlayfs.
snapshotter() {
  if [ "$(stat -f -c %T "$(data "$1")")" = overlayfs ]; then echo native; else echo overlayfs; fi
}

# Lowering oom_score_adj needs CAP_SYS_RESOURCE (bit 24), which containers of CI lack.
restrict_oom() {
  local caps
  caps=$(awk '/^CapEff/ { print $2 }' /proc/self/status)
  if (( (0x$caps >> 24) & 1 )); then echo false; else echo true; fi
}

write_config() {
  local dir=$1
  cat >"$dir/config.toml" <<EOF
version = 2
root = "$(data "$dir")"
state = "$dir/state"
[grpc]
  address = "$dir/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$dir/opt"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/keelson/pause:1"
  restrict_oom_score_adj = $(restrict_oom)
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$(cni_bin)"
    conf_dir = "$dir/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$(snapshotter "$dir")"
    default_runtime_name = "runc"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
EOF
}

write_network() {
  local dir=$1 hash name subnet
  hash=$(printf %s "$dir" | cksum | cut -d' ' -f1)
  name=${KEELSON_NAME:-kl$(printf %08x "$hash")}
  subnet=${KEELSON_SUBNET:-10.$((128 + hash % 64)).$((hash / 64 % 16 * 16)).0/20}
  echo "$name" >"$dir/network"
  mkdir -p "$dir/cni"
  sed -e "s|@NAME@|$name|" -e "s|@SUBNET@|$subnet|" -e "s|@LEASES@|$dir/leases|" \
    "$top/packaging/10-keelson.conflist" >"$dir/cni/10-keelson.conflist"
}

serves() { [ -S "$1/containerd.sock" ] && ctr --connect-timeout 1s -a "$1/containerd.sock" version >/dev/null 2>&1; }

# Starts the daemon of DIR and waits until it answers.
launch() {
  local dir=$1 bin pid
  bin=$(cat "$dir/bin")
  # The shim is looked up in PATH: the daemon's own must come first.
  PATH="$bin:/usr/sbin:/usr/bin:/sbin:/bin" setsid "$bin/containerd" -c "$dir/config.toml" \
    >>"$dir/containerd.log" 2>&1 </dev/null 9>&- &
  pid=$!
  echo "$pid" >"$dir/containerd.pid"
  for _ in $(seq 300); do
    if serves "$dir"; then return; fi
    [ -d "/proc/$pid" ] || break
    sleep 0.05
  done
  echo "containerd does not come up; the end of $dir/containerd.log:" >&2
  tail -5 "$dir/containerd.log" >&2
  return 1
}

start() {
  local dir=$1 version=${2:-1.6} archive
  mkdir -p "$dir" "$(data "$dir")"
  dir=$(cd "$dir" && pwd)
  case $version in
    1.6) echo /usr/bin >"$dir/bin" ;;
    2*) "$here/fetch-containerd" >"$dir/bin" ;;
    *) usage ;;
  esac
  archive=$(flock "$top/test/images/build.py" "$top/test/images/build.py" "${KEELSON_IMAGES:-$top/build/images}")
  if ! serves "$dir"; then
    write_config "$dir"
    write_network "$dir"
    launch "$dir"
  fi
  ctr -a "$dir/containerd.sock" -n k8s.io images import --snapshotter "$(snapshotter "$dir")" \
    "$archive" >"$dir/import.log" 2>&1 || { cat "$dir/import.log" >&2; return 1; }
  echo "$dir/containerd.sock"
}

reboot() {
  local dir=$1
  kill -KILL "$(cat "$dir/containerd.pid")" 2>/dev/null || true
  while [ -d "/proc/$(cat "$dir/containerd.pid")" ] &&
    ! grep -q '^State:.Z' "/proc/$(cat "$dir/containerd.pid")/status"; do sleep 0.02; done
  launch "$dir"
}

[ $# -ge 2 ] || usage
case $1 in
  start) start "$2" "${3:-}" ;;
  stop) exec "$here/containerd_down.py" "$2" ;;
  reboot) reboot "$2" ;;
  *) usage ;;
esac
