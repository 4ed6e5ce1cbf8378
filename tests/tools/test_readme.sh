#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tools/check-readme accepts a README that shows the thumbnail programs exactly, and refuses one that does not. The
# hello programs, which sealane(7) shows, stay within their promised length. Environment, from the Makefile: srcdir,
# PYTHON3 (may be empty).

set -u
. "${srcdir:?}/tests/tools/tally.sh"

lines() {
    wc -l <"$srcdir/examples/$1"
}

must "hello_server.c has at most 40 lines" test "$(lines hello_server.c)" -le 40
must "hello_client.c has at most 25 lines" test "$(lines hello_client.c)" -le 25

if [ -z "$PYTHON3" ]; then
    skips "there is no python3"
    finish readme
    exit
fi

check() {
    "$PYTHON3" "$srcdir/tools/check-readme" "$@"
}

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

must "this README" check "$srcdir"

mkdir "$work/examples"
cp "$srcdir/README.md" "$work/"
cp "$srcdir"/examples/thumbnail_*.c "$work/examples/"
chmod u+w "$work/README.md" "$work"/examples/*
echo '/* another line */' >>"$work/examples/thumbnail_client.c"
must_refuse "a file that changed" "another examples/thumbnail_client.c" check "$work"
must "mending it" check --write "$work"
must "the mended one" check "$work"

echo 'no programs' >"$work/README.md"
must_refuse "a README without programs" "shows no file" check "$work"

finish readme
