#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A later library serves a program of today: each public struct of the library is 64 bytes larger at its end than in the
# headers of the program, which uses every one of them (grown.c). The script builds both.
# Environment, from the Makefile: srcdir, CC, INSTRUMENT_CFLAGS, UV_CFLAGS, UV_LIBS, WITH_UV.

set -u
. "${srcdir:?}/tests/tools/tally.sh"

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# Copies the library, and lets each struct that a public header defines grow.
grow() {
    cp -R "$srcdir/include" "$srcdir/transport" "$work/" && chmod -R u+w "$work/include" "$work/transport" &&
        sed -i 's/^} sea_[a-z_]*;$/    char added_later[64];\n&/' "$work"/include/sealane/*.h
}

# How many structs the headers of a folder define, and how many of them have grown.
structs() {
    cat "$1"/include/sealane/*.h | grep -cE '^(typedef )?struct [a-z_]+ \{'
}

grown() {
    cat "$work"/include/sealane/*.h | grep -c '^    char added_later\[64\];'
}

# library NAME SOURCE...: a shared library of these sources with the map of that name.
library() {
    name=$1
    shift
    # Flags are lists of words; $1 is the inner shell's.
    # shellcheck disable=SC2016,SC2046,SC2086
    (cd "$work" && printf '%s\n' "$@" |
        xargs -P 2 -I '{}' sh -c 'out=$(echo "$1" | tr / _).o && shift && exec "$@" -o "$out"' _ '{}' \
            $CC -std=gnu11 -O0 -fPIC -pthread -fvisibility=hidden -fexceptions $INSTRUMENT_CFLAGS ${UV_CFLAGS-} \
            -D_GNU_SOURCE -DSYSCONFDIR='"/etc"' -Iinclude -iquote transport -c '{}' &&
        $CC -shared -pthread $INSTRUMENT_CFLAGS -Wl,--version-script="transport/$name.map" -Wl,-soname,"$name.so" \
            -o "$name.so" $(printf '%s\n' "$@" | sed 's|/|_|g; s|$|.o|') $libs)
}

core() {
    libs=
    # shellcheck disable=SC2046 # words
    library libsealane $(cd "$work" && find transport -name '*.c' ! -path 'transport/loop/*')
}

loop() {
    libs="-L. -lsealane ${UV_LIBS-}"
    # shellcheck disable=SC2046 # words
    library libsealane-uv $(cd "$work" && find transport/loop -name '*.c')
}

program() {
    libs=-lsealane
    [ "$WITH_UV" != 1 ] || libs="-lsealane-uv -lsealane ${UV_LIBS-}"
    # shellcheck disable=SC2086 # words
    $CC -std=gnu11 -D_GNU_SOURCE -DWITH_UV="$WITH_UV" $INSTRUMENT_CFLAGS ${UV_CFLAGS-} -pthread -I"$1" \
        "$srcdir/tests/abi/grown.c" -o "$2" -L"$work" -Wl,-rpath,"$work" $libs
}

must "the copy" grow
must "$(grown) of $(structs "$srcdir") structs have grown" test "$(grown)" -eq "$(structs "$srcdir")"
must "libsealane is built with larger structs" core
if [ "$WITH_UV" = 1 ]; then
    must "libsealane-uv is" loop
else
    skips "libsealane-uv: this build has no libuv"
fi
must "the program is built with the headers of the tree" program "$srcdir/include" "$work/today"
must "it runs with the later library" "$work/today" "unix:$work/socket"
must "a program of the later headers is built" program "$work/include" "$work/later"
must "it runs, too, with or without its sizes" "$work/later" "unix:$work/socket"

finish grown
