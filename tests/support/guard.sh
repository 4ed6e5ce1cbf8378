#!/bin/sh
# SPDX-License-Identifier: MIT
#
# guard.sh COMMAND... PROGRAM: runs a test program, and ends it after an hour if it hangs as a whole; the single tests
# in it have guards of their own.
#
# Some tests change a setting of the whole machine for a while (the grant of huge pages), and this disturbs other tests:
# the programs in SEALANE_TURNS, a list of words, take turns. They wait for each other before their hour begins.
# Environment, from the Makefile: builddir, SEALANE_TURNS.

for program; do :; done

turn() {
    case " ${SEALANE_TURNS-} " in
    *" ${program#./} "*) command -v flock >/dev/null ;;
    *) false ;;
    esac
}

if turn; then
    exec flock --close "${builddir:?}/tests/turn.lock" timeout --kill-after=10 3600 "$@"
fi
exec timeout --kill-after=10 3600 "$@"
