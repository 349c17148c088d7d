#!/bin/sh
# The same model for x86-64 and AArch64 gives the same greedy text; the AArch64
# object runs under qemu and has NEON in its hot loops.
#   aarch64.sh TEGU BUILD_DIR
set -eu
tegu=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    if ! command -v $tool >/dev/null; then
        echo "aarch64.sh: skipped, no $tool"
        exit 77
    fi
done

"$tegu" compile examples/models/wiki5m -o "$work/x86" --quiet
"$tegu" compile examples/models/wiki5m --target aarch64 -o "$work/arm" \
    --quiet --emit obj,header,weights,asm
cc -O2 tests/abi/greedy.c "$work/x86/wiki5m.o" -I"$work/x86" \
    -o "$work/x86/greedy"
aarch64-linux-gnu-gcc -static -O2 tests/abi/greedy.c "$work/arm/wiki5m.o" \
    -I"$work/arm" -o "$work/arm/greedy"
"$work/x86/greedy" "$work/x86/wiki5m.weights" > "$work/x86/ids"
qemu-aarch64 "$work/arm/greedy" "$work/arm/wiki5m.weights" > "$work/arm/ids"
cat "$work/arm/ids"
cmp "$work/x86/ids" "$work/arm/ids"

# An adapter kept apart on AArch64 gives what it gives folded on x86-64.
shakespeare=examples/models/wiki5m-shakespeare
"$tegu" compile examples/models/wiki5m \
    --adapter "$shakespeare" --singlora-ramp 1 \
    -o "$work/folded" --quiet
"$tegu" compile examples/models/wiki5m \
    --adapter "$shakespeare" --singlora-ramp 1 \
    -p keep-adapters --target aarch64 -o "$work/kept" --quiet
cc -O2 tests/abi/greedy.c "$work/folded/wiki5m.o" -I"$work/folded" \
    -o "$work/folded/greedy"
aarch64-linux-gnu-gcc -static -O2 tests/abi/greedy.c "$work/kept/wiki5m.o" \
    -I"$work/kept" -o "$work/kept/greedy"
"$work/folded/greedy" "$work/folded/wiki5m.weights" > "$work/folded/ids"
qemu-aarch64 "$work/kept/greedy" "$work/kept/wiki5m.weights" > "$work/kept/ids"
cat "$work/kept/ids"
cmp "$work/folded/ids" "$work/kept/ids"
if cmp -s "$work/x86/ids" "$work/folded/ids"; then
    echo "aarch64.sh: the adapter changes nothing"
    exit 1
fi

fmla=$(grep -cE 'fmla[[:space:]]+v[0-9]+\.4s' "$work/arm/wiki5m.s")
echo "$fmla NEON multiply-adds"
test "$fmla" -ge 24
