#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tools/check-layers accepts this tree and refuses bad ones. Each bad tree is a good tree with one offence. Environment,
# from the Makefile: srcdir, PYTHON3 (may be empty).

set -u
. "${srcdir:?}/tests/tools/tally.sh"

if [ -z "$PYTHON3" ]; then
    skips "there is no python3"
    finish layers
    exit
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

check() {
    "$PYTHON3" "$srcdir/tools/check-layers" "$1"
}

# Makes the good tree.
fresh() {
    rm -rf "$work/tree"
    mkdir -p "$work/tree/transport/sys" "$work/tree/transport/lane" "$work/tree/transport/loop" \
        "$work/tree/include/sealane" "$work/tree/examples" "$work/tree/bench" "$work/tree/tests/support"
    cat >"$work/tree/transport/sys/fdpass.c" <<'C'
#include "sys/fdpass.h"
/* A comment may say recvmsg(), and a text too. */
const char *text = "recvmsg(";
int a(int s) { return recvmsg(s, 0, 0); }
int b(int s) { return sendmsg(s, 0, 0); }
C
    printf '#include "sys/fdpass.h"\nint c(struct ops *o) { return o->mmap(0) + my_mmap(0); }\n' \
        >"$work/tree/transport/lane/lane.c"
    printf '#include <uv.h>\n#include <sealane/uv.h>\n#include "rpc/loop_interface.h"\n%s\n' \
        'int d(void) { return uv_run(0, 0); }' \
        >"$work/tree/transport/loop/uv.c"
    printf '#include <stdint.h>\n' >"$work/tree/include/sealane/base.h"
    printf '#include <sealane/base.h>\n' >"$work/tree/examples/hello.c"
    printf '#include "support/group.h"\n' >"$work/tree/bench/memory.c"
    : >"$work/tree/tests/support/group.h"
}

# offence WHAT FILE TEXT WORDS: TEXT, appended to FILE, must be refused with WORDS.
offence() {
    fresh
    printf '%s\n' "$3" >>"$work/tree/$2"
    must_refuse "$1" "$4" check "$work/tree"
}

must "this tree" check "$srcdir"
fresh
must "the good tree" check "$work/tree"

lane=transport/lane/lane.c
offence "a second recvmsg" transport/sys/fdpass.c 'int e(int s) { return recvmsg(s, 0, 0); }' \
    "transport/sys/fdpass.c:6: a second recvmsg()"
offence "an include upwards" "$lane" '#include "rpc/conn.h"' "$lane:3: lane is below rpc"
offence "an include without a layer" "$lane" '#include "lane.h"' "$lane:3: \"lane.h\" does not begin with a layer"
offence "mmap outside sys" "$lane" 'void *p = mmap (0);' "$lane:3: only transport/sys may name mmap()"
offence "memfd_create outside sys" "$lane" 'int f = memfd_create("", 0);' "only transport/sys may name memfd_create()"
offence "a call behind a comment" "$lane" '/* x */ int f = close(3); // y' "only transport/sys may name close()"
offence "uv.h outside loop" "$lane" '#include <uv.h>' "$lane:3: only transport/loop may include <uv.h>"
offence "a libuv name outside loop" "$lane" 'uv_loop_t *l;' "$lane:3: only transport/loop may name uv_loop_t"
offence "internals in loop" transport/loop/uv.c '#include "rpc/conn.h"' "loop is a library of its own"
for own in __thread _Thread_local thread_local pthread_key_t tss_t; do
    offence "$own" "$lane" "static $own x;" "$lane:3: no thread keeps anything of its own ($own)"
done
offence "a second number of a thread" transport/sys/thread_id.c '_Thread_local uintptr_t other;' \
    "no thread keeps anything of its own (_Thread_local)"
offence "the public interface in sys" transport/sys/fdpass.c '#include <sealane/conn.h>' "may not know the public"
offence "uv.h in a public header" include/sealane/base.h '#include <uv.h>' "base.h:2: a public header may not include"
offence "an example with internals" examples/hello.c '#include "lane/lane.h"' "hello.c:2: an example may not include"
offence "a measurement with internals" bench/line.c '#include "lane/lane.h"' "line.c:1: an example may not include"
offence "an example with internals by a path" examples/hello.c '#include "../transport/lane/lane.c"' \
    "an example may not"

fresh
mkdir -p "$work/tree/transport/attic"
: >"$work/tree/transport/attic/x.c"
must_refuse "a folder that is no layer" "transport/attic is not a layer" check "$work/tree"

fresh
: >"$work/tree/transport/sys/fdpass.c"
must_refuse "no recvmsg at all" "there is no recvmsg()" check "$work/tree"

finish layers
