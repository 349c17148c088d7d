#!/bin/sh
# Adapters that are kept: files of their own, switched between calls, here and
# on AArch64; off, the compiled model gives the base model's bits.
#   adapters.sh TEGU BUILD_DIR
set -eu
tegu=$1
model=examples/models/wiki5m
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r examples/models/wiki5m-shakespeare "$work/first"
cp -r examples/models/wiki5m-shakespeare "$work/second"

# compile FOLDER ARGUMENTS...
compile() {
    folder=$work/$1
    shift
    "$tegu" compile $model --name wiki5m -o "$folder" --quiet \
        --singlora-ramp 1 "$@"
}
# Everything of adapters.c for a target: TARGET, CC, RUNNER.
check() {
    compile "$1" --target "$1" --keep-adapters --adapter "$work/first" \
        --adapter "$work/second=0.5"
    compile "$1-second" --target "$1" --keep-adapters --adapter "$work/second"
    compile "$1-foreign" --target "$1" --keep-adapters \
        --adapter "$work/first" -D context=128
    compile "$1-base" --target "$1"
    $2 -std=c11 -O1 -Wall -Werror tests/abi/adapters.c "$work/$1/wiki5m.o" \
        -I"$work/$1" -pthread -lm -o "$work/$1/client"
    $3 "$work/$1/client" "$work/$1/wiki5m.weights" \
        "$work/$1/wiki5m.first.adapter" \
        "$work/$1-second/wiki5m.second.adapter" \
        "$work/$1-foreign/wiki5m.first.adapter" "$work/$1/off"
    $2 -std=c11 -O1 tests/abi/greedy.c "$work/$1-base/wiki5m.o" \
        -I"$work/$1-base" -o "$work/$1-base/client"
    $3 "$work/$1-base/client" "$work/$1-base/wiki5m.weights" \
        "$work/$1/base" > "$work/$1/ids"
    cmp "$work/$1/off" "$work/$1/base"
}

check native cc ""
for file in wiki5m.first.adapter wiki5m.second.adapter; do
    test "$(wc -c < "$work/native/$file")" -lt 1200000
done
if command -v aarch64-linux-gnu-gcc >/dev/null &&
    command -v qemu-aarch64 >/dev/null; then
    check aarch64 "aarch64-linux-gnu-gcc -static" qemu-aarch64
else
    echo "adapters.sh: no AArch64 tools, skipped there"
fi

# A folded model has nothing to switch; eval knows adapters that are kept.
compile folded --adapter "$work/first"
if grep -q set_adapter "$work/folded/wiki5m.h"; then
    echo "adapters.sh: the folded model has slots"
    exit 1
fi
for how in "" --keep-adapters; do
    "$tegu" eval $model --tokens $model/valid.safetensors:valid_ids \
        --limit 512 --adapter "$work/first" --singlora-ramp 1 $how -q \
        --json - | sed -n 's/.*"perplexity": \([0-9.]\{7\}\).*/\1/p' \
        > "$work/perplexity$how"
    cat "$work/perplexity$how"
done
cmp "$work/perplexity" "$work/perplexity--keep-adapters"
