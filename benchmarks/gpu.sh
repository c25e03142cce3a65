#!/usr/bin/env bash
# All that is checked and measured on a GPU, in one go: builds kvprof, runs the tests that need a
# device, compute-sanitizer, the benchmark and a profile of every architecture. Needs an NVIDIA GPU,
# nvcc, and kvprof's build, run and test requirements installed; no network. Under 8 minutes.
#
#   benchmarks/gpu.sh [--quick] [--no-build] [--device cuda:0] [--scale X] [OUT]
#
# OUT is benchmarks/results/<device>/ by default: gpu.json, gpu.md, and the steps' logs in logs/.
# A step that fails does not stop the others; the exit code is 1 then, 3 where there is no GPU.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-python3}
device=cuda:0
build=yes
options=()
out=
while [ $# -gt 0 ]; do
  case $1 in
    --quick) options+=(--quick) ;;
    --no-build) build=no ;;
    --device) device=$2; shift ;;
    --scale) options+=(--scale "$2"); shift ;;
    -*) echo "usage: $0 [--quick] [--no-build] [--device cuda:0] [--scale X] [OUT]"; exit 2 ;;
    *) out=$1 ;;
  esac
  shift
done

if [ "$build" = yes ]; then
  command -v nvcc >/dev/null || { echo "nothing measured: no nvcc here"; exit 3; }
  nvidia-smi -L >/dev/null 2>&1 || { echo "nothing measured: no NVIDIA GPU here"; exit 3; }
fi
if [ -z "$out" ]; then
  index=${device#*:}
  name=$(nvidia-smi --query-gpu=name --format=csv,noheader -i "${index%cuda}" 2>/dev/null | head -n 1)
  slug=$(echo "${name:-unknown gpu}" | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9' '-')
  out=benchmarks/results/${slug%-}
fi
mkdir -p "$out/logs"
out=$(cd "$out" && pwd)
logs=$out/logs
summary=$logs/summary
: >"$summary"
began=$SECONDS
failed=0

# step NAME SECONDS COMMAND...: at most so long; 77 is what a step that skips itself exits with.
step() {
  local name=$1 most=$2 start=$SECONDS code said
  shift 2
  echo "== $name"
  timeout --kill-after=10 "$most" "$@" >"$logs/$name.log" 2>&1
  code=$?
  case $code in
    0) said=ok ;;
    77) said=skipped ;;
    124 | 137) said="stopped after $most s" ;;
    *) said="failed, exit code $code" ;;
  esac
  [ "$code" = 0 ] || tail -n 15 "$logs/$name.log"
  [ "$code" = 0 ] || [ "$code" = 77 ] || failed=1
  printf '%-12s %4d s  %s\n' "$name" $((SECONDS - start)) "$said" | tee -a "$summary"
}

if [ "$build" = yes ]; then
  # Only for this device: one of three architectures.
  step build 240 "$python" -m pip install --no-build-isolation --no-deps . \
    --config-settings=cmake.define.KVPROF_CUDA=ON \
    --config-settings=cmake.define.CMAKE_CUDA_ARCHITECTURES=native
fi
if ! "$python" -c 'from kvprof import _cuda as c; raise SystemExit(c.unavailable_reason())'; then
  echo "nothing measured: kvprof has no GPU to work with (see $logs)"
  exit 3
fi
step tests 150 "$python" -m pytest -m gpu -q
KVPROF_SANITIZE_SECONDS=40 PYTHON=$python step sanitize 130 bash .ci/cuda_sanitize
sections=(ceilings reads updates append copies swaps span sparse allocation grid)
benchmark=("$python" benchmarks/gpu.py --device "$device" -o "$out/gpu.json")
step benchmark 240 "${benchmark[@]}" ${options[@]+"${options[@]}"} --sections "${sections[@]}"
step profiles 150 "${benchmark[@]}" ${options[@]+"${options[@]}"} --sections profiles

echo
cat "$summary"
sed -n '/^## Goals/,/^## Ceilings/p' "$out/gpu.md" 2>/dev/null | grep -v '^##' || true
echo "$((SECONDS - began)) s in all; $out/gpu.md"
exit "$failed"
