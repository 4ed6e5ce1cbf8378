#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The installed files are complete: the hello programs, built with nothing but `pkg-config --cflags --libs sealane`,
# make a call and load the C library alone; a program on a libuv loop needs nothing but `sealane-uv`; and static linking
# works. Run by `make installcheck`. Environment, from the Makefile: the variables that are checked below, WITH_UV, and
# INSTALLED_EXAMPLES (may be empty).

set -u
. "${srcdir:?}/tests/tools/tally.sh"
: "${CC:?}" "${DESTDIR?}" "${bindir:?}" "${PKG_CONFIG:?}" "${pkgconfigdir:?}" "${libdir:?}"
: "${includedir:?}" "${libexecdir:?}" "${mandir:?}" "${docdir:?}"

work=$(mktemp -d) || exit 1
server=
stop_server() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null
        wait "$server" 2>/dev/null
        server=
    fi
}
trap 'stop_server; rm -rf "$work"' EXIT

PKG_CONFIG_PATH=$DESTDIR$pkgconfigdir${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export PKG_CONFIG_PATH
if [ -n "$DESTDIR" ]; then
    # The paths in the .pc file are the final ones: this variable leads to the files in the temporary place.
    PKG_CONFIG_SYSROOT_DIR=$DESTDIR
    export PKG_CONFIG_SYSROOT_DIR
fi

# The prefix is the one that configure was given, and no search of configure's has changed it.
prefix_is_as_asked() {
    asked=$(./config.status --config | sed -n "s/.*--prefix=\([^' ]*\).*/\1/p")
    prefix=$(sed -n 's/^prefix = //p' Makefile)
    [ "$prefix" = "${asked:-/usr/local}" ] || {
        echo "prefix: $prefix instead of ${asked:-/usr/local}"
        false
    }
}

# build PROGRAM: compiles examples/PROGRAM.c.
build() {
    # shellcheck disable=SC2046,SC2086
    $CC "$srcdir/examples/$1.c" -o "$work/$1" $("$PKG_CONFIG" --cflags --libs sealane)
}

uses_installed_library() {
    LD_LIBRARY_PATH=$DESTDIR$libdir ldd "$work/hello_client" | grep "libsealane.so.* => $DESTDIR$libdir/"
}

# The libraries that a program loads beside libc and the runtime of the compiler, one a line.
strangers() {
    LD_LIBRARY_PATH=$DESTDIR$libdir ldd "$work/$1" |
        grep -vE '^[[:space:]]*(linux-vdso|(libc|libgcc_s|libpthread|libsealane)\.so|[^ ]*ld-linux)'
}

# Links only Sealane statically: its dependencies are the system's shared libraries.
build_static() {
    # shellcheck disable=SC2086
    $CC "$srcdir/examples/hello_client.c" -o "$work/static_client" -I"$DESTDIR$includedir" \
        "$DESTDIR$libdir/libsealane.a" -pthread
}

build_uv() {
    # shellcheck disable=SC2046,SC2086
    $CC "$srcdir/tests/install/loop.c" -o "$work/loop" $("$PKG_CONFIG" --cflags --libs sealane-uv)
}

build_uv_static() {
    # shellcheck disable=SC2046,SC2086
    $CC "$srcdir/tests/install/loop.c" -o "$work/static_loop" -I"$DESTDIR$includedir" \
        "$DESTDIR$libdir/libsealane-uv.a" "$DESTDIR$libdir/libsealane.a" $("$PKG_CONFIG" --libs libuv) -pthread
}

# Checks that the client gets its answer. The server gets a few seconds to listen, also on a slow machine.
hello_works() {
    XDG_RUNTIME_DIR=$work/run
    LD_LIBRARY_PATH=$DESTDIR$libdir
    export XDG_RUNTIME_DIR LD_LIBRARY_PATH
    "$work/hello_server" >"$work/server.log" 2>&1 &
    server=$!
    tries=0
    until answer=$("$work/hello_client" 2>&1); do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ]; then
            printf '%s\n%s\n' "$answer" "$(cat "$work/server.log")"
            return 1
        fi
        sleep 0.1
    done
    stop_server
    [ -n "$answer" ]
}

# Prints the links of installed documents that lead to no installed file, one a line. Links into the web are not
# checked.
dead_links() {
    find "$DESTDIR$docdir" -name '*.md' | while read -r page; do
        grep -o ']([^)#]*' "$page" | sed 's/^](//; /^$/d; /^https\{0,1\}:/d' | while read -r link; do
            [ -e "${page%/*}/$link" ] || echo "$page: $link"
        done
    done
}

# A call between a server and a client on one libuv loop.
loop_works() {
    LD_LIBRARY_PATH=$DESTDIR$libdir "$work/$1" "unix:$work/loop.socket"
}

mkdir -m 700 "$work/run"
must "the prefix is the one that configure was given" prefix_is_as_asked
must "sealane.pc is found" "$PKG_CONFIG" --exists sealane
must "hello_server.c builds" build hello_server
must "hello_client.c builds" build hello_client
must "the library is the installed one" uses_installed_library
must "it loads libc alone, not $(strangers hello_client)" test -z "$(strangers hello_client)"
hello_works >"$work/hello.log" 2>&1
must "a call" test "$?" -eq 0
cat "$work/hello.log"

if [ -e "$DESTDIR$libdir/libsealane.a" ]; then
    must "static linking" build_static
else
    skips "static linking: this build has no static library"
fi

if [ "${WITH_UV:-0}" = 1 ]; then
    must "sealane-uv.pc is found" "$PKG_CONFIG" --exists sealane-uv
    must "a program on a libuv loop builds" build_uv
    must "it makes a call" loop_works loop
    if [ -e "$DESTDIR$libdir/libsealane-uv.a" ]; then
        must "it links statically" build_uv_static
        must "the static one makes a call" loop_works static_loop
    fi
else
    must "sealane-uv.pc is not installed" test ! -e "$DESTDIR$pkgconfigdir/sealane-uv.pc"
    must "<sealane/uv.h> is not installed" test ! -e "$DESTDIR$includedir/sealane/uv.h"
    skips "programs on a libuv loop: this build has no libuv"
fi

for page in man1/digest.1 man1/digestd.1 man1/producer.1 man1/consumer.1 man1/sealane-calibrate.1 man7/sealane.7; do
    must "manual page $page" test -s "$DESTDIR$mandir/$page"
done
must "documents" test -s "$DESTDIR$docdir/README.md"
must "links among the documents: $(dead_links)" test -z "$(dead_links)"
must "sealane-calibrate" "$DESTDIR$bindir/sealane-calibrate" --version
for program in ${INSTALLED_EXAMPLES-}; do
    must "example ${program##*/}" test -x "$DESTDIR$libexecdir/sealane/$program"
    must "the source of ${program##*/}" test -s "$DESTDIR$docdir/$program.c"
done

finish install
