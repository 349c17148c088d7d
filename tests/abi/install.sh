#!/bin/sh
# Installs into a scratch prefix, then builds examples/06_cmake with
# find_package and a second consumer with pkg-config, and runs both.
#   install.sh TEGU BUILD_DIR
set -eu
build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >/dev/null
test -x "$work/prefix/bin/tegu"
test -s "$work/prefix/share/man/man1/tegu.1"
test -s "$work/prefix/share/bash-completion/completions/tegu"

echo "-- find_package and tegu_add_model"
cmake -S examples/06_cmake -B "$work/consumer" -G Ninja \
    -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/consumer" >"$work/log" || { cat "$work/log"; exit 1; }
"$work/consumer/consumer"

echo "-- pkg-config"
PKG_CONFIG_PATH=$(find "$work/prefix" -name tegu.pc -exec dirname {} \;)
export PKG_CONFIG_PATH
"$work/prefix/bin/tegu" compile examples/06_cmake/axpy.tegu --weights embed \
    -o "$work" --quiet
# shellcheck disable=SC2046
cc -std=c11 examples/06_cmake/main.c "$work/axpy.o" -I"$work" \
    $(pkg-config --cflags --libs tegu) -o "$work/plain"
"$work/plain"
