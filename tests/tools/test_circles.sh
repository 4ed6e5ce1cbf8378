#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tools/check-circles finds circles by includes and by symbols, and accepts a tree without a circle. The test plants
# each circle in a small tree of four files, and compiles their objects. Environment, from the Makefile: srcdir,
# builddir, CC, PYTHON3 (may be empty).

set -u
. "${srcdir:?}/tests/tools/tally.sh"

if [ -z "$PYTHON3" ]; then
    skips "there is no python3"
    finish circles
    exit
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# Checks the planted tree with the words of $known as the list of known circles.
known=
check() {
    "$PYTHON3" -B - "$srcdir/tools/check-circles" "$work" "$work/build" "$known" <<'PY'
import importlib.machinery, importlib.util, sys
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("circles", sys.argv[1])
circles = importlib.util.module_from_spec(importlib.util.spec_from_loader("circles", loader))
loader.exec_module(circles)
sys.exit(circles.main(sys.argv[2], sys.argv[3], [sys.argv[4]] if sys.argv[4] else []))
PY
}

# write FILE TEXT...: replaces transport/FILE by these lines.
write() {
    file=$work/transport/$1
    shift
    mkdir -p "${file%/*}"
    printf '%s\n' "$@" >"$file"
}

# A tree without a circle: pool uses arena, arena uses map, and table stands for itself.
fresh() {
    rm -rf "$work/transport" "$work/build"
    write sys/map.h 'int map_size(void);' 'extern int map_count;'
    write sys/map.c '#include "sys/map.h"' 'int map_count;' 'int map_size(void) { return map_count; }'
    write memory/arena.h '#include "sys/map.h"' 'int arena_size(void);'
    write memory/arena.c '#include "memory/arena.h"' 'int arena_size(void) { return map_size(); }'
    write memory/pool.h 'int pool_size(void);'
    write memory/pool.c '#include "memory/pool.h"' '#include "memory/arena.h"' \
        'int pool_size(void) { return arena_size(); }'
    write memory/table.h 'struct table { int size; };'
}

compile() {
    for source in "$work"/transport/*/*.c; do
        object=$work/build/${source#"$work"/}
        mkdir -p "${object%/*}"
        # CC is a list of words.
        # shellcheck disable=SC2086
        $CC -iquote "$work/transport" -c "$source" -o "${object%/*}/libx_la-$(basename "$source" .c).o" || exit 1
    done
}

fresh
compile
must "a tree without a circle" check

rm "$work/build/transport/memory/libx_la-pool.o"
must_refuse "a missing object" "has no object of transport/memory/pool.c" check

fresh
write memory/table.h '#include "memory/pool.h"'
write memory/pool.h '#include "memory/table.h"' 'int pool_size(void);'
sed -i '1i #pragma once' "$work/transport/memory/table.h" "$work/transport/memory/pool.h"
compile
must_refuse "a circle of includes" 'memory/pool uses memory/table: "memory/table.h"' check
must_refuse "it is drawn" "memory/pool -> memory/table -> memory/pool" check

fresh
write sys/map.c 'int pool_size(void);' 'int map_count;' 'int map_size(void) { return pool_size(); }'
compile
must_refuse "a circle of three files, by a function" "sys/map uses memory/pool: pool_size" check
must_refuse "it is drawn" "memory/arena -> sys/map -> memory/pool -> memory/arena" check
must_refuse "a circle that is not on the list" "not on the list: memory/arena memory/pool sys/map" check
known="sys/map memory/pool memory/arena"
must "a known circle" check
known="sys/map memory/pool memory/arena memory/table"
must_refuse "a file on the list that is in no circle" "strike it from KNOWN: memory/table" check
known="sys/map memory/pool"
must_refuse "a known circle that grew" "not on the list: memory/arena memory/pool sys/map" check
known=

fresh
write memory/arena.c '#include "memory/arena.h"' 'int arena_spare;' 'int arena_size(void) { return map_size(); }'
write sys/map.c 'extern int arena_spare;' 'int map_count;' 'int map_size(void) { return arena_spare; }'
compile
must_refuse "a circle by a variable" "sys/map uses memory/arena: arena_spare" check

fresh
write sys/map.c '#include "sys/map.h"' 'static int arena_size(void) { return 1; }' 'int map_count;' \
    'int map_size(void) { return arena_size(); }'
compile
must "a static function of the same name is no circle" check

fresh
compile
known="sys/map memory/arena"
must_refuse "a list of circles that are gone" "strike it from KNOWN: memory/arena sys/map" check

must "this tree" "$PYTHON3" -B "$srcdir/tools/check-circles" "$srcdir" "${builddir:?}"

finish circles
