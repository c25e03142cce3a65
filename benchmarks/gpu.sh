#!/usr/bin/env bash
# All that is checked and measured on a GPU, in one go: builds kvprof, runs the tests that need a
# device, the benchmark, a profile of every architecture, and compute-sanitizer. Needs an NVIDIA GPU,
# nvcc, and kvprof's build, run and test requirements installed; no network.
#
#   benchmarks/gpu.sh [--quick] [--no-build] [--device cuda:0] [--scale X] [--seconds 480] [OUT]
#
# OUT is benchmarks/results/<device>/ by default: gpu.json, gpu.md, and the steps' logs in logs/.
# kvprof is installed into build/gpu/site, and nowhere else. A step that fails, or for which the
# seconds are spent, does not stop the others; the exit code is 1 then, 3 where there is no GPU.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-python3}
device=cuda:0
build=yes
options=()
seconds=480
out=
usage=$(sed -n 's/^#  *\(benchmarks.gpu.sh .*\)/usage: \1/p' benchmarks/gpu.sh)
wrong() { echo "gpu.sh: $1, see --help" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in
    --device | --scale | --seconds)
      [ $# -gt 1 ] && [ -n "$2" ] && [ "${2#-}" = "$2" ] || wrong "$1 needs a value" ;;
  esac
  case $1 in
    --help) echo "$usage"; exit 0 ;;
    --quick) options+=(--quick) ;;
    --no-build) build=no ;;
    --device) device=$2; shift ;;
    --scale) options+=(--scale "$2"); shift ;;
    --seconds) seconds=$2; shift ;;
    -*) wrong "no option $1" ;;
    *) [ -z "$out" ] || wrong "one OUT, not two"; out=$1 ;;
  esac
  shift
done
[[ $seconds =~ ^[1-9][0-9]*$ ]] || wrong "--seconds takes a whole number, not $seconds"

PATH=$PATH:/usr/local/cuda/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# CuPy fails where it cannot keep its kernels.
[ -w "${HOME:-}" ] || export CUPY_CACHE_DIR=$work/cupy PIP_NO_CACHE_DIR=1
say_folder() { "$python" benchmarks/gpu.py --device "$device" --print-folder; }

# What leaves nothing behind where there is nothing to measure.
if [ "$build" = yes ]; then
  "$python" benchmarks/gpu_ready.py || exit
else
  folder=$(say_folder) || exit
fi
logs=${out:-build/gpu}/logs
mkdir -p "$logs" && rm -f "$logs"/*.log && : >"$logs/summary" || { echo "nothing measured: set OUT to a folder that can be written"; exit 1; }
logs=$(cd "$logs" && pwd)
failed=0

left() { echo $((seconds - SECONDS)); }

# step NAME SECONDS COMMAND...: at most so long; 77 is what a step that skips itself exits with.
step() {
  local name=$1 most=$2 start=$SECONDS code=0 said
  shift 2
  [ "$(left)" -ge "$most" ] || most=$(left)
  echo "== $name"
  if [ "$most" -lt 5 ]; then
    said="not begun: the $seconds s are spent"
    code=1
  else
    timeout --kill-after=10 "$most" "$@" >"$logs/$name.log" 2>&1
    code=$?
    case $code in
      0) said=ok ;;
      77) said=$(tail -n 1 "$logs/$name.log") ;;
      124 | 137) said="stopped after $most s" ;;
      *) said="failed, exit code $code" ;;
    esac
    [ "$code" = 0 ] || [ "$code" = 77 ] || { tail -n 15 "$logs/$name.log"; echo; }
  fi
  [ "$code" = 0 ] || [ "$code" = 77 ] || failed=1
  printf '%-12s %4d s  %s\n' "$name" $((SECONDS - start)) "$said" | tee -a "$logs/summary"
}

if [ "$build" = yes ]; then
  # Into a folder of its own: whoever runs this may not, or should not, change the environment. For
  # this device only: one of three architectures. Every pip passes CMAKE_ARGS on.
  site=$PWD/build/gpu/site
  rm -rf "$site"
  CMAKE_ARGS="-DKVPROF_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=native ${CMAKE_ARGS:-}" \
    step build 240 "$python" -m pip install --disable-pip-version-check --no-index \
    --no-build-isolation --no-deps --target "$site" .
  [ "$failed" = 0 ] || { echo "nothing measured: the build failed, see $logs/build.log"; exit 1; }
  export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
  found=$("$python" -c 'import kvprof._core as c; print(c.__file__)')
  case $found in
    "$site"/*) ;;
    *) echo "nothing measured: ${found:-no kvprof} hides what was built, an editable install?"
       echo "Uninstall it, or measure it with --no-build."; exit 1 ;;
  esac
  folder=$(say_folder) || exit
fi

if [ -z "$out" ]; then
  out=$folder
  mkdir -p "$out/logs" && cp "$logs"/* "$out/logs/" || exit 1
fi
out=$(cd "$out" && pwd)
logs=$out/logs
measure=("$python" benchmarks/gpu.py --device "$device" -o "$out/gpu.json" ${options[@]+"${options[@]}"})
sections=(ceilings reads updates append copies swaps span sparse allocation grid)

step tests 200 "$python" -m pytest -m gpu -q
step benchmark 240 "${measure[@]}" --sections "${sections[@]}"
# The section is written when it is done, so it must end by itself before its step does.
most=$(($(left) < 150 ? $(left) : 150))
step profiles "$most" "${measure[@]}" --sections profiles --profile-seconds $((most - 20))
# Three tools share what is left.
KVPROF_SANITIZE_SECONDS=$(($(left) / 3)) PYTHON=$python step sanitize 150 bash .ci/cuda_sanitize

echo
cat "$logs/summary"
sed -n '/^## Goals/,/^## Ceilings/p' "$out/gpu.md" 2>/dev/null | grep -v '^##' || true
echo "$SECONDS s in all; $(ls "$out/gpu.md" 2>/dev/null || echo "no gpu.md: nothing was measured")"
[ "$build" = no ] || echo "To measure more: PYTHONPATH=$site $python benchmarks/gpu.py --sections ..."
exit "$failed"
