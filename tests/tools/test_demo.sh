#!/bin/sh
# SPDX-License-Identifier: MIT
#
# examples/demo.sh: the printing of its measurements. A busy machine, on which a copy takes long or no call could be
# timed, shows no zeros. Environment, from the Makefile: srcdir.

set -u
. "${srcdir:?}/tests/tools/tally.sh"

demo=$srcdir/examples/demo.sh

# is NAME VALUE TEXT: checks that the function prints TEXT.
is() {
    said=$(sh -c "$(sed -n "/^$1() {/,/^}/p" "$demo"); $1 \"\$1\"" sh "$2")
    printf 'it says "%s"\n' "$said"
    [ "$said" = "$3" ]
}

for line in '5.812345|5.8 GB/s' '1.000000|1.0 GB/s' '0.999000|999 MB/s' '0.040000|40 MB/s' '0.009400|9.40 MB/s' \
    '|not measured, the machine is too busy'; do
    must "a rate of ${line%|*}" is rate "${line%|*}" "${line#*|}"
done
must "a time" is microseconds 1234.5 "1.23 us"
must "no time" is microseconds "" "not measured"
finish demo
