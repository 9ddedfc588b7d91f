#!/usr/bin/env bash
# The install without torch, from this source into a new environment, used: check, export, upload, emulate, simulate,
# calibrate, and a frozen decoder; what needs torch has to end in one line.  Three minutes, most of them pip's.
#   packaging/bench_install.sh FULL_PYTHON [BENCH_PYTHON]
# FULL_PYTHON: an interpreter with the full install, which trains the run and freezes its decoder (.venv/bin/python);
# BENCH_PYTHON: the interpreter to install for [default: python3].
set -euo pipefail
full=$(realpath -s "$1")
source=$(realpath "$(dirname "$0")/..")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${2:-python3}" -m venv "$work/bench"
# A copy: pip leaves build/ in what it installs from.
mkdir "$work/source"
tar -C "$source" --exclude='./.*' --exclude=./build --exclude=./runs --exclude=./demo -cf - . | tar -C "$work/source" -xf -
cd "$work/source"
"$work/bench/bin/pip" install --quiet --disable-pip-version-check --no-deps -r requirements-bench.txt .
cd "$work"
if bench/bin/python -c 'import torch' 2> /dev/null; then echo "torch is there" >&2; exit 1; fi

"$full" -m cidesign distill --profile dlp4500 --out run --set side=16 --set images=64 --set validation_images=16 \
  --set batch=16 --set channels=4 --teacher-epochs 1 --student-epochs 1
"$full" -m cidesign export run --decoder onnx

cidesign="$work/bench/bin/cidesign"
"$cidesign" doctor
"$cidesign" check run
"$cidesign" export run
"$cidesign" check run/export
"$cidesign" upload run/export --port COM3 --dry-run
"$cidesign" emulate --profile dlp4500 --link dmd --render shown & emulator=$!
for _ in $(seq 100); do [ -e dmd ] && break; sleep 0.2; done
"$cidesign" upload run/export --port dmd --start --repeats 1
kill -TERM "$emulator" && wait "$emulator"
"$cidesign" simulate run
"$cidesign" calibrate run/capture --run run
"$cidesign" reconstruct --decoder run/decoder.onnx run/capture --out images
test -s images/student.npz

for words in "reconstruct run run/capture" "report run" "distill --profile dlp4500 --out other" "evaluate run"; do
  code=0
  # shellcheck disable=SC2086 # words
  said=$("$cidesign" $words 2>&1 > /dev/null) || code=$?
  if [ "$code" != 2 ] || [[ $said == *Traceback* ]]; then
    echo "cidesign $words: left with $code: $said" >&2
    exit 1
  fi
done
echo "the install without torch does what it should"
