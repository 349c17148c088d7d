#!/bin/sh
# What an object says it was made from (docs/abi.md): every input file by name
# and hash, another ABI hash for another input, the same bytes for the same.
#   provenance.sh TEGU BUILD_DIR
set -eu
tegu=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "provenance.sh: $*" >&2; exit 1; }

model=$work/wiki5m
adapter=$work/adapter
cp -r examples/models/wiki5m "$model"
cp -r examples/models/wiki5m-shakespeare "$adapter"
cat docs/*.md > "$work/calib.txt"
small="dotresize{axis=hidden,keep=0.9}"

# compile NAME [OPTION...]: into $work/NAME, what it says into NAME.made
compile() {
    name=$1
    shift
    "$tegu" compile "$model" -o "$work/$name" --name m --quiet "$@" \
        2>"$work/$name.errors" || fail "$name: $(cat "$work/$name.errors")"
    "$tegu" explain "$work/$name/m.o" > "$work/$name.made"
}
calibrated() {
    compile "$@" --calib "$work/calib.txt" --calib-tokens 1024 -p "$small"
}
abi() { sed -n 's/.*abi \([0-9a-f]\{16\}\).*/\1/p' "$work/$1.made"; }
same() {
    cmp "$work/$1/m.o" "$work/$2/m.o"
    cmp "$work/$1/m.h" "$work/$2/m.h"
}
differ() {
    test -n "$(abi "$1")" || fail "$1 names no ABI hash"
    test "$(abi "$1")" != "$(abi "$2")" || fail "$2: the ABI hash of $1"
}
names() { # OUTPUT WHAT FILE
    grep -qE "^$2 $3 of [0-9]+ bytes, hash [0-9a-f]{16}$" "$work/$1.made" ||
        fail "$1 does not name $2 $3"
    grep -qF "$(grep -E "^$2 $3 of" "$work/$1.made")" "$work/$1/m.h" ||
        fail "the header of $1 does not name $2 $3"
}

echo "-- the model's files, wherever they lie"
compile base
names base model config.json
names base model model.safetensors
grep -q "$work" "$work/base.made" && fail "a path of this machine"
mv "$model" "$work/moved"
model=$work/moved
compile moved
same base moved

echo "-- a value of config.json"
sed -i 's/"rms_norm_eps": [^,]*/"rms_norm_eps": 2e-5/' "$model/config.json"
cmp -s examples/models/wiki5m/config.json "$model/config.json" &&
    fail "config.json has no rms_norm_eps"
compile config
differ base config
cp examples/models/wiki5m/config.json "$model"

echo "-- an option that gives an axis another value"
compile define -D context=256
differ base define

echo "-- an adapter's tensors, config and weight"
compile adapted --adapter "$adapter"
names adapted adapter adapter_config.json
names adapted adapter adapter_model.safetensors
differ base adapted
compile again --adapter "$adapter"
same adapted again
compile weighed --adapter "$adapter=0.5"
differ adapted weighed
sed -i 's/"lora_alpha": 8/"lora_alpha": 3/' \
    "$adapter/adapter_config.json"
compile alpha --adapter "$adapter"
differ adapted alpha

echo "-- calibration text, tokenizer and stored statistics"
calibrated slim
names slim text calib.txt
names slim tokenizer tokenizer.json
calibrated slim_again
same slim slim_again
calibrated saved --save-stats "$work/kept.st"
same slim saved
compile reused --stats "$work/kept.st" -p "$small"
names reused statistics kept.st
differ slim reused
sed -i 's/the/a/' "$work/calib.txt"
calibrated slim_text
differ slim slim_text
sed -i 's/"unk_token": *null/"unk_token":null/' "$model/tokenizer.json"
calibrated slim_tokenizer
differ slim_text slim_tokenizer
