#!/bin/sh
# What an object promises (docs/abi.md): symbols, sections, bytes, linking.
#   objects.sh TEGU BUILD_DIR
set -eu
tegu=$1
build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "objects.sh: $*" >&2; exit 1; }

"$tegu" compile examples/models/wiki5m -o "$work" --quiet \
    --emit obj,header,weights,static,shared,asm,llvm,bitcode,ir,dot,demo
"$tegu" compile examples/models/wiki5m -o "$work/again" --quiet

echo "-- identical bytes for identical input"
for suffix in o h weights; do
    cmp "$work/wiki5m.$suffix" "$work/again/wiki5m.$suffix"
done

echo "-- symbols"
nm "$work/wiki5m.o" | awk '$2 ~ /[A-Z]/ && $2 != "U" {print $3}' |
    grep -v '^wiki5m_' && fail "a global symbol without the prefix"
undefined=$(nm -u "$work/wiki5m.o" | awk '{print $2}')
test -z "$undefined" || fail "undefined: $undefined"

echo "-- sections"
readelf -SW "$work/wiki5m.o" > "$work/sections"
grep -E '\.(init_array|ctors|tdata|tbss)' "$work/sections" &&
    fail "constructors or thread-local data"
grep -E ' \.(data|bss)' "$work/sections" | grep -vE ' 000000 ' &&
    fail "writable data"
grep -q '\.note\.GNU-stack' "$work/sections" || fail "no GNU-stack note"
readelf -SW "$work/wiki5m.o" | grep GNU-stack | grep -q ' X ' &&
    fail "executable stack"

echo "-- the header alone, as C99 and C++"
printf '#include "wiki5m.h"\n' > "$work/h.c"
cc -std=c99 -Wall -Wextra -Wpedantic -Werror -I"$work" -c "$work/h.c" \
    -o "$work/h.o"
if command -v g++ >/dev/null; then
    cp "$work/h.c" "$work/h.cc"
    g++ -std=c++17 -Wall -Wextra -Wpedantic -Werror -I"$work" \
        -c "$work/h.cc" -o "$work/h.o"
fi

echo "-- docs/abi.md and the header name the same things"
"$tegu" compile examples/models/wiki5m -o "$work/kept" --quiet \
    --adapter examples/models/wiki5m-shakespeare --singlora-ramp 1 \
    --keep-adapters
grep -oE '\<(wiki5m|WIKI5M)_[A-Za-z_0-9]+' "$work/kept/wiki5m.h" |
    sed -E 's/ADAPTER_WIKI5M_SHAKESPEARE/ADAPTER_A/
            s/^wiki5m/NAME/; s/^WIKI5M/UP/
            s/_(step|prompt|STEP|PROMPT)(_|$)/_E\2/
            s/^NAME_init_[0-9a-f]{16}$/NAME_init_/' | sort -u > "$work/named"
grep -oE '\<(NAME|UP)_[A-Za-z_]+' docs/abi.md | grep -vx UP_ADAPTER_ |
    sort -u > "$work/described"
diff "$work/named" "$work/described" || fail "docs/abi.md differs"

echo "-- a C program with nothing else, from the object and the archive"
cc -std=c99 "$work/wiki5m_demo.c" "$work/wiki5m.o" -I"$work" \
    -Wl,-z,relro,-z,now,-z,text,--fatal-warnings -pie -o "$work/demo"
(cd "$work" && ./demo wiki5m.weights)
cc -std=c99 "$work/wiki5m_demo.c" "$work/wiki5m.a" -I"$work" -o "$work/demo2"
(cd "$work" && ./demo2 wiki5m.weights)
cc -std=c99 "$work/wiki5m_demo.c" "$work/wiki5m.so" -I"$work" \
    -Wl,-rpath,"$work" -o "$work/demo3"
(cd "$work" && ./demo3 wiki5m.weights)

echo "-- object and header of different compilations do not link"
"$tegu" compile examples/models/wiki5m -D context=256 -o "$work/other" --quiet
if cc -std=c99 "$work/wiki5m_demo.c" "$work/other/wiki5m.o" -I"$work" \
    -o "$work/mixed" 2>/dev/null; then
    fail "a mixed pair linked"
fi

echo "-- plan promises the state that the header asks for, padding included"
"$tegu" compile examples/models/wiki5m -D context=100 -o "$work/short" --quiet
"$tegu" plan examples/models/wiki5m -D context=100 --quiet \
    --json "$work/plan.json"
planned=$(sed -n 's/.*"state_bytes": \([0-9]*\).*/\1/p' "$work/plan.json")
grep -q "WIKI5M_STATE_BYTES ((size_t)${planned}u)" "$work/short/wiki5m.h" ||
    fail "plan says $planned bytes of state"

echo "-- text, and two models from several threads"
libraries="$(pkg-config --libs jansson libpcre2-8 libutf8proc) -pthread -lm"
runtime="-Iinclude -L$build/runtime -ltegu_runtime"
case $(grep ^TEGU_SANITIZE: "$build/CMakeCache.txt") in
*=?*) exit 0 ;; # the archive is instrumented; plain cc cannot link it
esac
# shellcheck disable=SC2086
cc examples/04_generate/main.c "$work/wiki5m.o" -I"$work" $runtime \
    $libraries -o "$work/generate"
"$work/generate" "$work/wiki5m.weights" examples/models/wiki5m \
    " The river" 24 | tee "$work/text"
test "$(wc -c < "$work/text")" -gt 40 || fail "no text"
"$tegu" compile examples/models/wiki5m --name left -o "$work" --quiet
"$tegu" compile examples/models/wiki5m --name right --weights embed \
    -o "$work" --quiet
# shellcheck disable=SC2086
cc examples/05_threads/main.c "$work/left.o" "$work/right.o" -I"$work" \
    $runtime $libraries -o "$work/threads"
"$work/threads" "$work/left.weights"
