#!/bin/sh
# Statistics of calibration are stored and reused: a second run without
# calibration data gives the same model to the byte, whatever differs is
# computed again or refused, and a refusal leaves every file as it was.
#   stats.sh TEGU BUILD_DIR
set -eu
tegu=$1
model=examples/models/wiki5m
tokens=$model/valid.safetensors:valid_ids
adapter=examples/models/wiki5m-shakespeare
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/a" "$work/b" "$work/c"

# slim FOLDER PASSES OPTION...: writes FOLDER/slim.tegu, prints the line about
# statistics.
slim() {
    folder=$1 pipeline=$2
    shift 2
    "$tegu" opt $model -p "$pipeline" --emit model -o "$work/$folder/slim.tegu" \
        "$@" 2>"$work/report" || return
    grep '^statistics' "$work/report"
}
calib="--calib $tokens --calib-tokens 2048"
passes='dotresize{axis=dim,keep=0.8},reduce-hidden{keep=0.7,sequential=true}'

echo "-- a second run computes nothing and writes the same model"
slim a "$passes" $calib --save-stats "$work/a.st" |
    grep 'statistics: 0 reused, 19 computed'
slim b "$passes" --stats "$work/a.st" --save-stats "$work/b.st" |
    grep 'statistics: 19 reused, 0 computed'
cmp "$work/a/slim.tegu" "$work/b/slim.tegu"
cmp "$work/a/slim.safetensors" "$work/b/slim.safetensors"
cmp "$work/a.st" "$work/b.st"

echo "-- only what differs is computed: layers behind another width"
slim c 'dotresize{axis=dim,keep=0.8},reduce-hidden{keep=0.6,sequential=true}' \
    $calib --stats "$work/a.st" --save-stats "$work/c.st" |
    grep 'statistics: 14 reused, 5 computed'
slim c 'dotresize{axis=dim,keep=0.8},reduce-hidden{keep=0.6,sequential=true}' \
    --stats "$work/c.st" | grep 'statistics: 19 reused, 0 computed'

echo "-- other tokens: nothing is reused, and that is said"
slim c 'slice{measure=false}' --calib $tokens --calib-tokens 1024 \
    --stats "$work/a.st" | grep 'statistics: 0 reused, 13 computed'
grep 'other calibration data: 8 sequences of 256 tokens' "$work/report"

echo "-- another model (its embedding is the same): refused, nothing is touched"
before=$(cd "$work" && cksum c/* ./*.st)
code=0
slim c "$passes" --stats "$work/a.st" --adapter $adapter || code=$?
test $code = 65
grep 'a.st: error: this file lacks 12 of the statistics' "$work/report"
head -c 1000000 "$work/a.st" >"$work/cut.st"
code=0
slim c "$passes" --stats "$work/cut.st" || code=$?
test $code = 65
grep 'cut.st@.*: error: the file is cut short' "$work/report"
code=0
slim c 'budget{params=0.7}' --stats "$work/a.st" || code=$?
test $code = 64
grep 'judging predictions needs calibration tokens' "$work/report"
rm "$work/cut.st"
test "$before" = "$(cd "$work" && cksum c/* ./*.st)"

echo "-- other commands take them too"
"$tegu" compile $model -p "$passes" --stats "$work/a.st" -o "$work/c" |
    grep 'statistics: 19 reused, 0 computed'
"$tegu" eval $model -p "$passes" --stats "$work/a.st" --tokens $tokens \
    --limit 64 | grep 'statistics: 19 reused, 0 computed'
