#!/bin/sh
# A slimmed model is a source file again: written by `opt --emit model` with an
# adapter turned along, it compiles, gives the logits of the pipeline in memory,
# and runs on AArch64.
#   slim.sh TEGU BUILD_DIR
set -eu
tegu=$1
model=examples/models/wiki5m
tokens=$model/valid.safetensors:valid_ids
adapter=examples/models/wiki5m-shakespeare
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

passes='dotresize{axis=dim,keep=0.8},reduce-hidden{keep=0.7}'
"$tegu" opt $model --adapter $adapter --calib $tokens --calib-tokens 2048 \
    -p "$passes" --emit model -o "$work/slim.tegu"
grep -q 'dim_r = 205' "$work/slim.tegu"

echo "-- the written model says what the pipeline in memory says"
"$tegu" eval $model --adapter $adapter --calib $tokens --calib-tokens 2048 \
    -p "$passes" --tokens $tokens --limit 512 -q --json "$work/memory.json"
"$tegu" eval "$work/slim.tegu" --tokens $tokens --limit 512 -q \
    --json "$work/written.json"
python3 - "$work" <<'PYTHON'
import json, sys
a, b = (json.load(open(sys.argv[1] + "/" + f + ".json"))["perplexity"]
        for f in ("memory", "written"))
print(a, b)
sys.exit(abs(a - b) > 1e-4 * a)
PYTHON

echo "-- here and on AArch64"
"$tegu" compile "$work/slim.tegu" --name wiki5m -o "$work/x86" --quiet
cc -O2 tests/abi/greedy.c "$work/x86/wiki5m.o" -I"$work/x86" \
    -o "$work/x86/greedy"
"$work/x86/greedy" "$work/x86/wiki5m.weights" | tee "$work/x86/ids"
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    if ! command -v $tool >/dev/null; then
        echo "slim.sh: no $tool, AArch64 not run"
        exit 0
    fi
done
"$tegu" compile "$work/slim.tegu" --name wiki5m --target aarch64 \
    -o "$work/arm" --quiet
aarch64-linux-gnu-gcc -static -O2 tests/abi/greedy.c "$work/arm/wiki5m.o" \
    -I"$work/arm" -o "$work/arm/greedy"
qemu-aarch64 "$work/arm/greedy" "$work/arm/wiki5m.weights" > "$work/arm/ids"
cmp "$work/x86/ids" "$work/arm/ids"
