#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every public header compiles alone, as C99 and as C++11, without a warning; and the version in base.h
# is the package's.
# Environment, from the Makefile: srcdir, CC, CXX (may be empty), PACKAGE_VERSION.

set -u
. "${srcdir:?}/tests/tools/tally.sh"

strict="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -fsyntax-only -I$srcdir/include"

compiles() { # COMPILER LANGUAGE STANDARD HEADER
    # The commands and flags are lists of words.
    # shellcheck disable=SC2086
    printf '#include <sealane/%s>\n#include <sealane/%s>\n' "$4" "$4" | $1 -x "$2" -std="$3" $strict -
}

for path in "$srcdir"/include/sealane/*.h; do
    header=${path##*/}
    must "$header as C99" compiles "$CC" c c99 "$header"
    if [ -n "$CXX" ]; then
        must "$header as C++11" compiles "$CXX" c++ c++11 "$header"
    else
        skips "$header as C++11: there is no C++ compiler"
    fi
done

number=$(sed -n 's/^#define SEA_VERSION_NUMBER //p' "$srcdir/include/sealane/base.h")
version=$((number / 10000)).$((number / 100 % 100)).$((number % 100))
must "base.h says $version, configure.ac $PACKAGE_VERSION" test "$version" = "$PACKAGE_VERSION"

finish headers
