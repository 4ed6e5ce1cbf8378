#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tools/check-symbols: headers, maps and libraries agree; it refuses a map that lacks a function, has one too many, or
# has one twice. Each shared library needs the C library alone; libsealane-uv also needs libuv and libsealane.
# Environment, from the Makefile: srcdir, builddir, WITH_UV, PYTHON3 (may be empty).

set -u
. "${srcdir:?}/tests/tools/tally.sh"

if [ -z "$PYTHON3" ]; then
    skips "there is no python3"
    finish symbols
    exit
fi

check() {
    "$PYTHON3" "$srcdir/tools/check-symbols" "$@"
}

# strangers LIBRARY KNOWN...: the libraries that a shared library names as needed, but for libc, its loader, the
# compiler's runtime (C++ exceptions pass through the library), and those known.
strangers() {
    needed=$(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
        grep -vE '^(libc|libgcc_s|libpthread|ld-linux[^.]*)\.so')
    shift
    for known in "$@"; do
        needed=$(printf '%s\n' "$needed" | grep -v "^$known\\.so")
    done
    printf '%s' "$needed"
}

libraries=${builddir:?}/transport/.libs
if [ ! -e "$libraries/libsealane.so" ]; then
    must "headers and maps" check "$srcdir"
    skips "the libraries: this build has no shared ones"
else
    must "headers, maps and libraries" check "$srcdir" "$libraries"
    must "libsealane needs libc alone, not $(strangers "$libraries/libsealane.so")" \
        test -z "$(strangers "$libraries/libsealane.so")"
    if [ "$WITH_UV" = 1 ]; then
        must "the library for libuv is built" test -e "$libraries/libsealane-uv.so"
        must "libsealane-uv needs $(strangers "$libraries/libsealane-uv.so" libuv libsealane)" \
            test -z "$(strangers "$libraries/libsealane-uv.so" libuv libsealane)"
    fi
fi
if [ "$WITH_UV" != 1 ]; then
    skips "libsealane-uv, test_uv and test_uv_library: this build has no libuv"
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/include" "$work/transport"
cp -R "$srcdir/include/sealane" "$work/include/"
cp "$srcdir/transport/libsealane-uv.map" "$work/transport/"
map=$work/transport/libsealane.map

# changed WHAT SED-SCRIPT WORDS
changed() {
    sed "$2" "$srcdir/transport/libsealane.map" >"$map"
    must_refuse "$1" "$3" check "$work"
}

changed "one is missing" '/^ *sea_call;/d' "sea_call is in the headers and not in libsealane.map"
changed "one too many" 's/^ *sea_call;/&sea_recall;/' "sea_recall is in libsealane.map and not in the headers"
changed "one twice" 's/^ *sea_call;/&&/' "sea_call is in libsealane.map twice"
changed "a public function in the private node" 's/^ *sea_private_loop_interface;/&sea_other;/' \
    "sea_other is in libsealane.map and not in the headers"
cp "$srcdir/transport/libsealane.map" "$map"
must "the maps as they are" check "$work"
sed '/sea_uv_connect/d' "$srcdir/transport/libsealane-uv.map" >"$work/transport/libsealane-uv.map"
must_refuse "one is missing from the map of libsealane-uv" \
    "sea_uv_connect is in the headers and not in libsealane-uv.map" check "$work"

finish symbols
