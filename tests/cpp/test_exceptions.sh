#!/bin/sh
# SPDX-License-Identifier: MIT
#
# C++ exceptions that leave handlers: see thrower.cc, which is built with the archive of this build.
# Environment, from the Makefile: srcdir, builddir, CXX (may be empty), INSTRUMENT_CFLAGS.

set -u
. "${srcdir:?}/tests/tools/tally.sh"

directory=$(mktemp -d) || exit 1
trap 'rm -rf "$directory"' EXIT

built() {
    # The command and flags are lists of words.
    # shellcheck disable=SC2086
    $CXX -std=c++11 -g -pthread -Wall -Wextra -Wpedantic $INSTRUMENT_CFLAGS -I"$srcdir/include" \
        -o "$directory/thrower" "$srcdir/tests/cpp/thrower.cc" "${builddir:?}/transport/.libs/libtransport.a"
}

if [ -z "$CXX" ] || ! printf 'int main() {}\n' | $CXX -x c++ -o "$directory/nothing" - 2>/dev/null; then
    skips "exceptions: there is no C++ compiler"
else
    must "a C++ program is built" built
    must "it throws, and all goes on" "$directory/thrower" "unix:$directory/socket"
fi

finish exceptions
