#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A short soak (`./dev soak` is the long one): clients with mixed load are killed, rotate and connect anew, and the
# memory of the server and of a client must not grow. SEALANE_SOAK_SECONDS: the duration.

tests_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../examples/lib.sh
. "$tests_dir/../examples/lib.sh"
PATH=$build/bench:$PATH
python=${PYTHON3:-python3}

needs memory "$python"

if grep -q '^INSTRUMENT_CFLAGS = .*sanitize' "$build/Makefile"; then
    skips "a sanitizer keeps what was freed, so that memory grows"
    finish_examples soak
    exit
fi

seconds=${SEALANE_SOAK_SECONDS-60}
patience=$((patience + 2 * seconds))
mkdir -p bench && ln -sf "$build/bench/memory" bench/memory
run "a soak" 0 env PYTHONDONTWRITEBYTECODE=1 "$python" "$tests_dir/../../bench/run/memory.py" --build . \
    --soak "$seconds"
is "figures that may not grow" 8 "$(grep -c 'HOLDS$' out)"

finish_examples soak
