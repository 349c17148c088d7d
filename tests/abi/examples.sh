#!/bin/sh
# Every example, as the head of its main.c says, from the repository's root.
#   examples.sh TEGU BUILD_DIR
set -eu
tegu=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "-- 01_vector"
"$tegu" compile examples/01_vector/axpy.tegu -o "$work/out" --quiet
cc -std=c11 -Wall -Werror examples/01_vector/main.c "$work/out/axpy.o" \
    -I"$work/out" -o "$work/axpy"
test "$(cd "$work" && ./axpy)" = "12 24 36 48 60 "

echo "-- 02_mlp"
"$tegu" compile examples/02_mlp/mlp.tegu --weights embed -o "$work" --quiet
cc -std=c11 -Wall -Werror examples/02_mlp/main.c "$work/mlp.o" -I"$work" \
    -o "$work/mlp"
"$work/mlp" | tee "$work/text"
test "$(grep -c 'sum 1.000' "$work/text")" = 2

echo "-- 03_llama is what import writes"
"$tegu" import examples/models/wiki5m -o "$work/wiki5m.tegu"
sed -n '/^axis/,$p' "$work/wiki5m.tegu" > "$work/imported"
sed -n '/^axis/,$p' examples/03_llama/llama.tegu > "$work/written"
diff "$work/imported" "$work/written"

echo "-- every .tegu of the examples loads"
for model in examples/*/*.tegu examples/models/*.tegu; do
    case $model in
    */03_llama/*) "$tegu" plan "$model" --quiet ;; # its weights lie elsewhere
    *) "$tegu" check "$model" --quiet ;;
    esac
done

echo "-- 07_adapters"
shakespeare=examples/models/wiki5m-shakespeare
"$tegu" compile examples/models/wiki5m --name folded -o "$work" --quiet \
    --adapter "$shakespeare" --singlora-ramp 1
"$tegu" compile examples/models/wiki5m --name model -o "$work" --quiet \
    --keep-adapters --adapter "$shakespeare" --singlora-ramp 1
cc -std=c11 -Wall -Werror examples/07_adapters/main.c "$work/folded.o" \
    "$work/model.o" -I"$work" -lm -o "$work/adapters"
"$work/adapters" "$work"
