#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The installed files are complete: the hello programs, built with nothing but `pkg-config --cflags --libs sealane`,
# make a call; and static linking works. Run by `make installcheck`. Environment, from the Makefile: the variables that
# are checked below, and INSTALLED_EXAMPLES (may be empty).

set -u
. "${srcdir:?}/tests/tools/tally.sh"
: "${CC:?}" "${DESTDIR?}" "${bindir:?}" "${PKG_CONFIG:?}" "${pkgconfigdir:?}" "${libdir:?}" "${includedir:?}" "${libexecdir:?}" "${mandir:?}" "${docdir:?}"

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

# build PROGRAM: compiles examples/PROGRAM.c.
build() {
    # shellcheck disable=SC2046,SC2086
    $CC "$srcdir/examples/$1.c" -o "$work/$1" $("$PKG_CONFIG" --cflags --libs sealane)
}

uses_installed_library() {
    LD_LIBRARY_PATH=$DESTDIR$libdir ldd "$work/hello_client" | grep "libsealane.so.* => $DESTDIR$libdir/"
}

# Links only Sealane statically: its dependencies are the system's shared libraries.
build_static() {
    # shellcheck disable=SC2046,SC2086
    $CC "$srcdir/examples/hello_client.c" -o "$work/static_client" -I"$DESTDIR$includedir" \
        "$DESTDIR$libdir/libsealane.a" $("$PKG_CONFIG" --libs libuv) -pthread
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

mkdir -m 700 "$work/run"
must "sealane.pc is found" "$PKG_CONFIG" --exists sealane
must "hello_server.c builds" build hello_server
must "hello_client.c builds" build hello_client
must "the library is the installed one" uses_installed_library
hello_works >"$work/hello.log" 2>&1
must "a call" test "$?" -eq 0
cat "$work/hello.log"

if [ -e "$DESTDIR$libdir/libsealane.a" ]; then
    must "static linking" build_static
else
    skips "static linking: this build has no static library"
fi

for page in man1/digest.1 man1/digestd.1 man1/producer.1 man1/consumer.1 man1/sealane-calibrate.1 man7/sealane.7; do
    must "manual page $page" test -s "$DESTDIR$mandir/$page"
done
must "documents" test -s "$DESTDIR$docdir/README.md"
must "links among the documents: $(dead_links)" test -z "$(dead_links)"
must "sealane-calibrate" "$DESTDIR$bindir/sealane-calibrate" --version
for program in ${INSTALLED_EXAMPLES-}; do
    must "example ${program##*/}" test -x "$DESTDIR$libexecdir/sealane/$program"
    must "its source" test -s "$DESTDIR$docdir/$program.c"
done

finish install
