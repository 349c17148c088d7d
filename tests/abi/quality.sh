#!/bin/sh
# The figures that eval and compare print: the stored perplexities of PyTorch
# where ../shared has the fp32 model, the bundled model's everywhere; strides,
# limits, and the divergence of a pipeline that changes nothing.
#   quality.sh TEGU BUILD_DIR
set -eu
tegu=$1
model=examples/models/wiki5m
tokens=$model/valid.safetensors:valid_ids
fp32=../shared/data/wiki5m
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# figure FILE KEY: a number of an object, or of an array's first object
figure() {
    sed -n "s/.*\"$2\": \\([-0-9.e+]*\\).*/\\1/p" "$1" | head -n 1
}
# expect WHAT GOT WANTED
expect() {
    echo "$1: $2"
    test "$2" = "$3" || { echo "quality.sh: $1 is not $3" >&2; exit 1; }
}
four() { printf '%.4f' "$1"; }

"$tegu" eval $model --tokens $tokens -q --json "$work/bundled.json"
expect "bundled, context 256" \
    "$(four "$(figure "$work/bundled.json" perplexity)")" 31.7016
expect "predictions" "$(figure "$work/bundled.json" tokens)" 20480
if [ -d $fp32 ]; then
    ids=$fp32/reference.safetensors:valid_ids
    for row in 256:31.7003 512:32.0518; do
        "$tegu" eval $fp32 --tokens $ids --context "${row%:*}" -q \
            --json "$work/fp32.json"
        expect "fp32, context ${row%:*}" \
            "$(four "$(figure "$work/fp32.json" perplexity)")" "${row#*:}"
    done
fi

# Windows that overlap score every token once, with more context.
"$tegu" eval $model --tokens $tokens --limit 1024 -q --json "$work/apart.json"
"$tegu" eval $model --tokens $tokens --limit 1024 --stride 64 -q \
    --json "$work/overlap.json"
expect "predictions with overlap" "$(figure "$work/overlap.json" tokens)" 1024
awk -v a="$(figure "$work/overlap.json" perplexity)" \
    -v b="$(figure "$work/apart.json" perplexity)" \
    'BEGIN { print "overlap", a, "apart", b; exit !(a < b && a > 0.8 * b) }'

# A pipeline that changes nothing diverges in nothing; one that changes the
# model diverges; compare says what eval says.
"$tegu" eval $model --tokens $tokens --limit 512 -p dce -q \
    --json "$work/same.json"
expect "divergence of nothing" "$(figure "$work/same.json" kl_div)" 0.0
expect "same top tokens" "$(figure "$work/same.json" same_top)" 1.0
"$tegu" eval $model --tokens $tokens --limit 512 -q --calib $tokens \
    --calib-tokens 1024 -p 'slice{axis=dim,keep=0.8}' --json "$work/cut.json"
awk -v kl="$(figure "$work/cut.json" kl_div)" \
    'BEGIN { print "divergence of a cut", kl; exit !(kl > 0.001 && kl < 1) }'
"$tegu" compare $model -p '' --tokens $tokens --limit 512 -r 1 -q \
    --json "$work/compare.json"
expect "compare's perplexity" \
    "$(four "$(figure "$work/compare.json" perplexity)")" \
    "$(four "$(figure "$work/same.json" perplexity)")"
