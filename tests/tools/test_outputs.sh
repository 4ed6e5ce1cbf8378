#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tools/check-outputs: the public headers keep the rule for outputs, and each way to break it is found. Environment,
# from the Makefile: srcdir, PYTHON3 (may be empty).

set -u
. "${srcdir:?}/tests/tools/tally.sh"

if [ -z "$PYTHON3" ]; then
    skips "there is no python3"
    finish outputs
    exit
fi

check() {
    "$PYTHON3" "$srcdir/tools/check-outputs" "$@"
}

must "the public headers" check "$srcdir"

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/include/sealane"

planted() { # WHAT PROTOTYPE WORDS
    printf '%s\n' "SEA_API $2;" >"$work/include/sealane/planted.h"
    must_refuse "$1" "$3" check "$work"
}

accepted() { # PROTOTYPE
    printf '%s\n' "SEA_API $1;" >"$work/include/sealane/planted.h"
    must "$1" check "$work"
}

accepted "int sea_x_new(sea_x **ret_x, sea_ctx *ctx)"
accepted "int sea_x_call(sea_x *x, void (*done)(int a, void *user), void *user, sea_msg **ret_reply)"
accepted "bool sea_x_figures(sea_x *x, uint64_t *ret_values, size_t count)"
planted "an output in between" "int sea_x(sea_x *x, int *ret_fd, int flags)" "ret_fd stands neither"
planted "a number at the beginning" "int sea_x(int *ret_fd, sea_x *x)" "ret_fd stands neither"
planted "an output without the prefix" "int sea_x(sea_x *x, int *fd)" "fd is an output"
planted "an object without the prefix" "int sea_x_new(sea_x **x, sea_ctx *ctx)" "x is an output"
planted "an input with the prefix" "int sea_x(sea_x *x, const int *ret_fd)" "ret_fd is no output"
rm "$work/include/sealane/planted.h"
must_refuse "no headers" "no function" check "$work"

finish outputs
