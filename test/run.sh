#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [CTEST-ARGUMENT...]: installs what is missing, builds, and runs all tests in one ctest, whose
# summary is the last output and whose exit code is ours. `run.sh -L unit` runs one kind only.
#
# Two trees: integration and vm tests use release binaries, as a node would; unit, simulation and
# fuzz tests run under AddressSanitizer. Needs root: tests make namespaces, mounts and cgroups.
#   KEELSON_BUILD   folder of the trees (default: build)
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
build=$(realpath -m "${KEELSON_BUILD:-$top/build}")
exec </dev/null

if [ "$(id -u)" -ne 0 ]; then echo "run.sh needs root: sudo $0 $*" >&2; exit 1; fi

# Everything tests leave in temporary folders is below one of ours, so that an aborted run cleans up.
TMPDIR=$(mktemp -d /tmp/klrun.XXXXXX)
export TMPDIR
clean_up() {
  local dir
  for dir in "$TMPDIR"/klctd.*; do
    [ -d "$dir" ] && "$top/test/integration/lib/containerd.sh" stop "$dir"
  done
  rm -rf --one-file-system "$TMPDIR"
} >/dev/null 2>&1
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# build_tree PRESET LABELS TARGET: quiet unless it fails, but each step is announced.
build_tree() {
  local tree=$build/$1 log=$build/$1.log start=$SECONDS
  echo "== building $1 for: ${2//;/ }"
  mkdir -p "$build"
  if ! { cmake -S "$top" -B "$tree" --preset "$1" -DKEELSON_TEST_LABELS="$2" &&
    cmake --build "$tree" --target "$3" -- -k 0; } >"$log" 2>&1; then
    grep -E -A 20 -m 10 'error|FAILED|CMake Error' "$log" >&2 || true
    echo "building $1 failed; all of it is in $log" >&2
    exit 1
  fi
  echo "   done in $((SECONDS - start)) s"
}

"$top/packaging/install-deps.sh"
build_tree release 'integration;vm' all
build_tree asan 'unit;simulation;fuzz' tests

mkdir -p "$build/tests"
printf 'subdirs("%s")\n' "$build/asan" "$build/release" >"$build/tests/CTestTestfile.cmake"
status=0
ctest --test-dir "$build/tests" --output-on-failure --no-tests=error --parallel "$(nproc)" "$@" || status=$?
exit "$status"
