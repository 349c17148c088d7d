#!/bin/sh
# A mixture of experts made narrower is a source file again: stacks keep their
# shape but for the widths, the logits are those of the pipeline in memory, and
# it compiles to an object, here and for AArch64.
#   experts.sh TEGU BUILD_DIR
set -eu
tegu=$1
model=examples/models/moe.tegu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 - "$work" <<'PYTHON'
import json, struct, sys
def write(file, name, shape, ids):
    data = struct.pack("<%di" % len(ids), *ids)
    head = json.dumps({name: {"dtype": "I32", "shape": shape,
                              "data_offsets": [0, len(data)]}}).encode()
    head += b" " * (-len(head) % 8)
    open(sys.argv[1] + "/" + file, "wb").write(
        struct.pack("<Q", len(head)) + head + data)
ids = [(i * i * 7 + i // 3) % 256 for i in range(16 * 64)]
write("ids.safetensors", "ids", [16, 64], ids)
write("in.safetensors", "tokens", [32], ids[100:132])
PYTHON
tokens=$work/ids.safetensors:ids

# logits NAME MODEL [options]
logits() {
    out=$work/$1.safetensors
    file=$2
    shift 2
    "$tegu" run "$file" --entry step --inputs "$work/in.safetensors" \
        --outputs "$out" -q "$@"
}

passes='slice{keep=0.75},reduce-hidden{keep=0.5},prune-heads{keep=0.5}'
"$tegu" opt $model --calib "$tokens" -p "$passes" --emit model \
    -o "$work/slim.tegu" 2> "$work/report"
cat "$work/report"

echo "-- the report names the stacks, the source has them"
grep -q 'slice: model.layers.1.experts.down_proj.weight .*kept_energy' \
    "$work/report"
grep -q 'reduce-hidden: model.layers.1.experts.down_proj.weight .*experts 4' \
    "$work/report"
grep -q 'experts.up_proj.weight" \[experts, hidden_48, dim_r\]' \
    "$work/slim.tegu"
grep -q 'experts.down_proj.weight" \[experts, dim_r, hidden_48\]' \
    "$work/slim.tegu"

echo "-- the written model computes what the pipeline in memory does"
logits memory $model --calib "$tokens" -p "$passes"
logits written "$work/slim.tegu"
cmp "$work/memory.safetensors" "$work/written.safetensors"

echo "-- a rotation changes no logit"
logits whole $model
logits turned $model -p 'rotate{provider=random}'
python3 - "$work" <<'PYTHON'
import struct, sys
def read(name):
    data = open(sys.argv[1] + "/" + name + ".safetensors", "rb").read()
    body = data[8 + struct.unpack("<Q", data[:8])[0]:]
    return struct.unpack("<%df" % (len(body) // 4), body)
worst = max(abs(a - b) for a, b in zip(read("whole"), read("turned")))
print("largest difference of a logit: %.2g" % worst)
sys.exit(not worst < 2e-4)
PYTHON

echo "-- it compiles for two machines"
"$tegu" compile "$work/slim.tegu" --name slim -o "$work/x86" --quiet
"$tegu" compile "$work/slim.tegu" --name slim --target aarch64 \
    -o "$work/arm" --quiet
test -s "$work/x86/slim.o"
test -s "$work/arm/slim.o"
