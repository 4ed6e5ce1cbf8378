#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tools/check-abi reports each change that the test plants in a small library, and none in a tree that has only changed
# inside. Environment, from the Makefile: srcdir, CC, INSTRUMENT_CFLAGS, PYTHON3 (may be empty).

set -u
. "${srcdir:?}/tests/tools/tally.sh"

if [ -z "$PYTHON3" ] || ! command -v abidw >/dev/null || ! command -v abidiff >/dev/null; then
    skips "there is no python3, abidw or abidiff (Debian: abigail-tools)"
    finish abi
    exit
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
tree=$work/tree

check() {
    "$PYTHON3" -B "$srcdir/tools/check-abi" "$@" "$tree" "$tree/build"
}

fresh() {
    rm -rf "$tree/include" "$tree/transport"
    mkdir -p "$tree/include/sealane" "$tree/transport/rpc" "$tree/build/transport/.libs" "$tree/tools"
    cat >"$tree/include/sealane/conn.h" <<'C'
#define SEA_API __attribute__((visibility("default")))
#define SEA_LIMIT 10
#define SEA_TWICE (2 * SEA_PART)
typedef struct sea_conn sea_conn;
typedef struct sea_lone {
    int size;
    char more[8];
} sea_lone;
typedef struct sea_options {
    int limit;
    unsigned count;
    int rest;
    const char *text; /* its meaning */
} sea_options;
enum { SEA_FIRST = 1, SEA_SECOND = 2, SEA_PART = sizeof(int) };
enum sea_kind { SEA_SMALL, SEA_LARGE };
SEA_API int sea_open(sea_conn **ret_conn, const sea_options *options, int ms);
SEA_API int sea_send(sea_conn *conn, const char *text, void *user);
SEA_API int sea_tell(enum sea_kind kind, int ms);
SEA_API int sea_pair(void *first, void *second);
SEA_API int sea_close(sea_conn *conn);
C
    echo 'struct sea_conn { int state; };' >"$tree/transport/rpc/conn.h"
    cat >"$tree/transport/rpc/conn.c" <<'C'
#include "../../include/sealane/conn.h"
#include "conn.h"
int sea_open(sea_conn **ret_conn, const sea_options *options, int ms) {
    return (*ret_conn)->state = options->limit + ms;
}
int sea_send(sea_conn *conn, const char *text, void *user) { return conn->state + *text + (user != 0); }
int sea_tell(enum sea_kind kind, int ms) { return (int) kind - ms; }
int sea_pair(void *first, void *second) { return first == second; }
int sea_close(sea_conn *conn) { return conn->state; }
C
    printf 'SEA_API int sea_uv(int ms);\n' >"$tree/include/sealane/uv.h"
    printf '#include "../include/sealane/conn.h"\n#include "../include/sealane/uv.h"\n%s\n' \
        'int sea_uv(int ms) { return ms; }' >"$tree/transport/uv.c"
    echo 'N_1 { global: sea_open; sea_send; sea_tell; sea_pair; sea_close; local: *; };' \
        >"$tree/transport/libsealane.map"
    printf 'U_1 { global: sea_uv; local: *; };\n' >"$tree/transport/libsealane-uv.map"
}

build() {
    # CC is a list of words.
    # shellcheck disable=SC2086
    (cd "$tree" && $CC -g -O1 -shared -fPIC transport/rpc/conn.c -o build/transport/.libs/libsealane.so \
        -Wl,--version-script=transport/libsealane.map &&
        $CC -g -O1 -shared -fPIC transport/uv.c -o build/transport/.libs/libsealane-uv.so \
            -Wl,--version-script=transport/libsealane-uv.map) >"$work/cc.log" 2>&1 ||
        fails "the library: $(cat "$work/cc.log")"
}

# everywhere SED-SCRIPT: in the headers, the code and the map.
everywhere() {
    sed -i "$1" "$tree"/include/sealane/*.h "$tree"/transport/rpc/* "$tree"/transport/*.map
}

# changed WHAT WORDS SED-SCRIPT: the check must report that change with these words.
changed() {
    fresh
    everywhere "$3"
    build
    must_refuse "$1" "$2" check
}

fresh
build
must_refuse "no baseline" "there is no baseline" check
must "writing it" check --renew
must "an unchanged library" check

changed "a parameter is gone" "abidiff ends with" 's/, int ms)/)/; s/limit + ms/limit/; s/(int) kind - ms/(int) kind/'
changed "two fields are swapped" "abidiff ends with" '/^    int limit;/{h;d}; /^    unsigned count;/{G}'
changed "a field was added" "abidiff ends with" 's/^    unsigned count;/& int more;/'
changed "a function is gone" "sea_close" '/sea_close(/d; s/ sea_close;//'
changed "a function is not exported any more" "sea_close" 's/ sea_close;//'
changed "a function is new" "+SEA_API int sea_more(void);" \
    's/^SEA_API int sea_close.*/&\nSEA_API int sea_more(void);/;
     s/^int sea_close.*/&\nint sea_more(void) { return 1; }/;
     s/ sea_close;/& sea_more;/'
changed "another symbol version" "sea_open@@N_2" 's/N_1/N_2/'
changed "a char pointer and a void pointer are swapped" "+SEA_API int sea_send(" \
    's/const char \*text, void \*user/void *user, const char *text/'
changed "a const is gone" "+SEA_API int sea_open(" 's/const sea_options \*options/sea_options *options/'
changed "an enumeration and an int are swapped" "+SEA_API int sea_tell(" \
    's/enum sea_kind kind, int ms/int ms, enum sea_kind kind/'
changed "two void pointers are swapped" "+SEA_API int sea_pair(void *second" \
    's/sea_pair(void \*first, void \*second/sea_pair(void *second, void *first/'
changed "a constant has another value" "+SEA_SECOND = 3" 's/SEA_SECOND = 2/SEA_SECOND = 3/'
changed "a macro has another value" "+SEA_LIMIT = 11" 's/SEA_LIMIT 10/SEA_LIMIT 11/'
# Changes at a distance: the lines of these things are as they were.
changed "a constant behind a new one" "+SEA_LARGE = 2" 's/SEA_SMALL,/& SEA_MIDDLE,/'
changed "a constant is the size of another type" "+SEA_PART = 1" 's/sizeof(int)/sizeof(char)/'
changed "a macro of another constant" "+SEA_TWICE = 2" 's/sizeof(int)/sizeof(char)/'
changed "two fields of one type are swapped" "+struct sea_options: rest at 0, 4 bytes" \
    '/^    int limit;/s/limit/rest/; t; /^    int rest;/s/rest/limit/'
changed "a structure that no function takes" "+struct sea_lone: more at 1, 8 bytes" 's/^    int size;/    char size;/'

fresh
sed -i 's/int ms/long ms/' "$tree/include/sealane/uv.h" "$tree/transport/uv.c"
build
must_refuse "a change of the second library" "libsealane-uv.so: abidiff ends with" check

fresh
sed -i 's/int state;/char more[64]; &/' "$tree/transport/rpc/conn.h"
sed -i 's|its meaning|another comment|' "$tree/include/sealane/conn.h"
build
must "an opaque structure grew, and a comment is another" check
must "the baseline has not seen the structure" test "$(grep -c "name='state'" "$tree/tools/abi/libsealane.abi")" -eq 0

fresh
build
strip --strip-debug "$tree/build/transport/.libs/libsealane.so"
must_refuse "a stripped library" "libsealane.so has no debug information" check
rm "$tree/build/transport/.libs/libsealane-uv.so"
must_refuse "no library" "there is no $tree/build/transport/.libs/libsealane-uv.so" check

finish abi
