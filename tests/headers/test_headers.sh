#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every public header compiles alone, as C99 and as C++11, without a warning; the version in base.h is the package's;
# sealane.7 names every option and every kind of address; and the loops that the headers and sealane.7 show compile.
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

fields() { # STRUCT: the names of its members in conn.h, one a line, but for the reserved one
    # shellcheck disable=SC2086
    $CC -E -P -I"$srcdir/include" "$srcdir/include/sealane/conn.h" | tr '\n' ' ' |
        sed "s/.*struct $1 {\([^}]*\)} $1;.*/\1/" |
        tr ';' '\n' | sed -n 's/.*(\*\([a-z_]*\))(.*/\1/p; t; s/.*[ *]\([a-z_][a-z_]*\) *$/\1/p'
}

manual=$srcdir/doc/man/sealane.7
options=$(fields sea_options)
must "sea_options was found" test "$(echo "$options" | wc -l)" -gt 20
for option in $options; do
    must "sealane.7 names the option $option" grep -qE "^\.It Fa (.* )?$option( |\$)" "$manual"
done
for address in name unix: unix:@ fd: systemd systemd:; do
    must "sealane.7 names the address $address" grep -qE "^\.It (.* )?(Ar )?$address( |\$)" "$manual"
done

loops() { # FILE: the loops that a header shows in its comments, or a manual page in its displays, as functions
    echo '#include <poll.h>'
    echo '#include <sealane/sealane.h>'
    sed 's/^ \*     //' "$1" | awk '
        /^for \(/ { loop = "void loop" ++n "(sea_conn *conn, sea_server *server)"
                    print loop ";\n" loop " {\n    (void) conn, (void) server;"
                    within = 1 }
        within { print }
        within && /^}/ { within = 0; print "}" }'
}

loops_compile() { # FILE LEAST: at least LEAST loops, all of which are right
    loops "$1" | tee "$work/loops.c" | grep -c '^void .*;$' >"$work/count"
    [ "$(cat "$work/count")" -ge "$2" ] || { echo "shows $(cat "$work/count") loops, less than $2" && return 1; }
    # shellcheck disable=SC2086
    $CC -x c -std=gnu11 $strict "$work/loops.c"
}

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
must "the loop in conn.h compiles" loops_compile "$srcdir/include/sealane/conn.h" 1
must "the loop in server.h compiles" loops_compile "$srcdir/include/sealane/server.h" 1
must "the loops in sealane.7 compile" loops_compile "$manual" 2
sed 's/^\( *poll(&item, 1, \)timeout_ms/\1timeout/' "$manual" >"$work/stale.7"
must_refuse "a loop that does not compile" "timeout" loops_compile "$work/stale.7" 2

finish headers
