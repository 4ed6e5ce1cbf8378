#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tools/check-symbols: headers, map and library agree; it refuses a map that lacks a function, has one too many, or has
# one twice. Environment, from the Makefile: srcdir, builddir, PYTHON3 (may be empty).

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

library=${builddir:?}/transport/.libs/libsealane.so
if [ -e "$library" ]; then
    must "headers, map and library" check "$srcdir" "$library"
else
    must "headers and map" check "$srcdir"
    skips "the library: this build has no shared one"
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/include" "$work/transport"
cp -R "$srcdir/include/sealane" "$work/include/"
map=$work/transport/libsealane.map

# changed WHAT SED-SCRIPT WORDS
changed() {
    sed "$2" "$srcdir/transport/libsealane.map" >"$map"
    must_refuse "$1" "$3" check "$work"
}

changed "one is missing" '/^ *sea_call;/d' "sea_call is in the headers and not in the map"
changed "one too many" 's/^ *sea_call;/&sea_recall;/' "sea_recall is in the map and not in the headers"
changed "one twice" 's/^ *sea_call;/&&/' "sea_call is in the map twice"

finish symbols
