#!/usr/bin/env bash
# What a machine with a GPU is asked first, in ten minutes at most: are compiled networks the modules, how fast is a
# frame at 64, 128 and 256 pixels, alone and beside its twin, and then the first entries of training/queue.md.
#
#   training/gpu_check.sh [OUT]              # from a checkout, with its environment active; OUT is runs/gpu_check
#   DEVICE=cpu SCALE=0.1 training/gpu_check.sh   # the same commands on a CPU, a tenth of the frames and seconds
#   DRY=1 training/gpu_check.sh              # says what it would run
#
# Every step has a limit of its own, and one that fails or is late does not stop the others: what came of each is in
# OUT/summary.txt, the numbers are in OUT/*.json (one line each, with the card's name), ready for docs/results.md.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

OUT=${1:-runs/gpu_check}
DEVICE=${DEVICE:-cuda}
SCALE=${SCALE:-1}
LIMIT=${LIMIT:-590}
PYTHON=${PYTHON:-python}
DRY=${DRY:-}
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
: >"$OUT/summary.txt"
export WORLDSIM_ENGINES=${WORLDSIM_ENGINES:-$OUT/engines}
started=$(date +%s)
failed=0

scaled() { # N: N times SCALE, at least $2
    awk -v n="$1" -v s="$SCALE" -v least="${2:-1}" 'BEGIN { x = int(n * s); print (x < least ? least : x) }'
}

left() { echo $((LIMIT - $(date +%s) + started)); }

say() { echo "$*" | tee -a "$OUT/summary.txt"; }

# step NAME SECONDS COMMAND...: run it for so long at most, and never beyond the whole limit; the last line of what it
# prints goes to OUT/NAME.json where it is an object.
step() {
    local name=$1 seconds=$2 remaining began code
    shift 2
    if [ -n "$DRY" ]; then
        echo "$name (at most $seconds s): $*"
        return 0
    fi
    remaining=$(left)
    if [ "$remaining" -lt 10 ]; then
        say "$name: left out, the time is over"
        failed=1
        return 0
    fi
    [ "$seconds" -lt "$remaining" ] || seconds=$remaining
    began=$(date +%s)
    timeout --kill-after=5 "$seconds" "$@" >"$OUT/$name.log" 2>&1
    code=$?
    tail -n 1 "$OUT/$name.log" | grep '^{' >"$OUT/$name.json" || rm -f "$OUT/$name.json"
    if [ "$code" = 0 ]; then
        say "$name: done in $(($(date +%s) - began)) s"
    else
        say "$name: exit code $code after $(($(date +%s) - began)) s, see $OUT/$name.log"
        failed=1
    fi
}

if [ "$DEVICE" = cuda ] && [ -z "$DRY" ] && ! "$PYTHON" -c 'import torch; raise SystemExit(not torch.cuda.is_available())'; then
    echo "torch sees no GPU here; DEVICE=cpu SCALE=0.1 tries the commands on a CPU" >&2
    exit 1
fi

# 1. Equality: every network on this card against its module, by every engine that is here.
step equality 90 "$PYTHON" -m pytest -q -p no:cacheprovider tests/worldsim/engine/compiled -k "gpu or backend or exported"

# 2. Speed, all engines in turn: one dream and with its twin, at the model's size and with larger pictures.
engines="eager,cudagraphs"
"$PYTHON" -c 'import torch_tensorrt' 2>/dev/null && engines="$engines,tensorrt"
[ "$DEVICE" = cuda ] || engines="eager,cpu"
frames=$(scaled 200 12)
for size in 64 128 256; do
    for twin in false true; do
        limit=40
        [ "$size$twin" = 64false ] && limit=120 # engines are built here for the first time
        step "engines_${size}_twin_$twin" "$limit" "$PYTHON" -m training.benchmark engines "engines=[$engines]" \
            "device=$DEVICE" "size=$size" "twin=$twin" "frames=$frames" context=64 precision=auto
    done
done

# 3. The first entries of training/queue.md, short: does training run on this card, and how fast.
data=$OUT/data
step collect 60 "$PYTHON" -m training.collect env=blocks policy=mixed "episodes=$(scaled 60 2)" "out=$data" \
    "workers=$(nproc)" seed=0
step train_autoencoder 60 "$PYTHON" -m training.train.autoencoder "data=$data" "out=$OUT/ae" \
    "seconds=$(scaled 40 2)" "batch=$(scaled 128 8)"
step train_reader 60 "$PYTHON" -m training.train.reader "data=$data" checkpoint=blocks "out=$OUT/reader" \
    "seconds=$(scaled 40 2)" "batch=$(scaled 128 4)"

say "$([ "$failed" = 0 ] && echo 'all steps were done' || echo 'not all steps were done'), $(($(date +%s) - started)) s"
[ -n "$DRY" ] || "$PYTHON" - "$OUT" <<'PY'
"""The table for docs/results.md."""

import json
import sys
from pathlib import Path

print("| card | pixels | twin | engine | ms p50 | p95 | frames/s | fraction of the rate | levels off |")
print("|---|---|---|---|---|---|---|---|---|")
for path in sorted(Path(sys.argv[1]).glob("engines_*.json")):
    found = json.loads(path.read_text())
    for name, row in found["engines"].items():
        step = row["phases"]["step"]
        cells = found["hardware"], found["size"], found["twin"], name, step["p50"], step["p95"]
        print("|", *(f"{x} |" for x in (*cells, row["frames_s"], step["fraction"], row["levels_off"]["max"])))
PY
exit "$failed"
