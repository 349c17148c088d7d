#!/bin/sh
# Runs every tegu and cc command of README.md and docs/tutorial.md as it stands
# there, in a folder that has nothing but the examples.
#   docs.sh TEGU BUILD_DIR
set -eu
tegu=$1
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ln -s "$root/examples" "$work/examples"
mkdir "$work/bin"
ln -s "$tegu" "$work/bin/tegu"
PATH=$work/bin:$PATH
export PATH

# The commands of the sh blocks, one a line; continued lines are joined.
commands() {
    awk '/^```sh$/ { on = 1; next } /^```/ { on = 0 }
         on { line = line $0; if (sub(/\\$/, "", line)) next
              if (line ~ /^(tegu|cc) /) print line; line = "" }' "$1"
}

for page in README.md docs/tutorial.md; do
    commands "$page" > "$work/commands"
    count=0
    while read -r command; do
        echo "-- $page: $command"
        (cd "$work" && sh -e -c "$command" </dev/null >"$work/said" 2>&1) || {
            cat "$work/said"
            echo "docs.sh: this command of $page fails" >&2
            exit 1
        }
        count=$((count + 1))
    done < "$work/commands"
    test "$count" -ge 4 || { echo "docs.sh: $page has no commands" >&2; exit 1; }
done

echo "-- files that the tutorial names"
test -f "$work/out/kept/wiki5m.wiki5m_shakespeare.adapter"
test -f "$work/out/slim.safetensors"
grep -q wiki5m_set_adapter "$work/out/kept/wiki5m.h"

echo "-- what the tutorial says of mistakes"
sed 's/y: f32\[N\])/y: f32[8])/' examples/01_vector/axpy.tegu > "$work/axes.tegu"
sed 's/a \* x/a * xs/' examples/01_vector/axpy.tegu > "$work/name.tegu"
for wrong in axes name; do
    if tegu check "$work/$wrong.tegu" 2>"$work/$wrong.said"; then
        echo "docs.sh: $wrong.tegu is accepted" >&2
        exit 1
    fi
    cat "$work/$wrong.said"
done
grep -q "f32\[N\]" "$work/axes.said"
grep -q "did you mean 'x'" "$work/name.said"
tegu explain E0103
