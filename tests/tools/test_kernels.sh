#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tools/kernels: its choice of kernels, and its table from consoles. No kernel is started. Environment, from the
# Makefile: srcdir, PYTHON3 (may be empty).

set -u
. "${srcdir:?}/tests/tools/tally.sh"

if [ -z "$PYTHON3" ]; then
    skips "there is no python3"
    finish kernels
    exit
fi

must "tools/kernels" "$PYTHON3" -B "$srcdir/tests/tools/test_kernels.py"

finish kernels
