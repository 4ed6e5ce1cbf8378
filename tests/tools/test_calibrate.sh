#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# sealane-calibrate from its command line: two quick measurements, and its refusals. No check depends on a measured time
# or value.

# shellcheck source-path=SCRIPTDIR source=../examples/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../examples/lib.sh"
PATH=$build/tools/calibrate:$PATH
needs sealane-calibrate

unset SEALANE_CALIBRATION XDG_CONFIG_HOME
export HOME=$work/home
keys="inline_before_pooled inline_before_sealed inline_before_snapshot machine reuse_footprint reuse_least"
keys="$keys snapshot_before_sealed version"

keys_in() {
    sed 's/#.*//; /^ *$/d; s/ .*//' "$1" | sort | xargs
}

run "help" 0 sealane-calibrate --help
says "help" out "usage: sealane-calibrate"
run "version" 0 sealane-calibrate --version
run "an unknown option" 2 sealane-calibrate --fast
run "an argument" 2 sealane-calibrate file
run "two places" 2 sealane-calibrate --print --output=x
run "CPUs" 2 sealane-calibrate --cpus=0
says "CPUs" err "--cpus: not two numbers"
run "no directory" 2 sealane-calibrate --output=missing/table
says "no directory" err "missing/table: No such file or directory"
run "no home" 2 env -u HOME sealane-calibrate
says "no home" err "--output"
run "a CPU that is not there" 2 sealane-calibrate --print --cpus=1000,1000
says "a CPU that is not there" err "sched_setaffinity"

for seconds in x 1x -1 nan 4000; do
    run "a time of $seconds" 2 sealane-calibrate --time=$seconds
done
says "a time" err "--time: not a number of seconds"

# --- too busy ---

# Simulates a machine where other processes have the CPUs: no measurement is possible.
echo old >table
run "no time" 3 sealane-calibrate --time=0 --output=table
says "no time" err "this machine is too busy to be measured: try again when it rests"
is "the old table stays" old "$(cat table)"
run "no time, printed" 3 sealane-calibrate --time=0 --print
is "nothing is printed" "" "$(cat out)"

# --- measured ---

# measure WHAT COMMAND...: returns whether there is a result; the test's machine may really be too busy.
measure() {
    local what=$1 status=0
    shift
    timeout -k 5 "$patience" "$@" >out 2>err || status=$?
    if [ "$status" -eq 3 ]; then
        says "$what" err "this machine is too busy to be measured"
        is "$what: nothing is written" "" "$(cat out)"
        skips "$what: this machine is too busy"
        return 1
    fi
    is "$what" 0 "$status"
    is "$what: no progress line" "" "$(tr -cd '\r' <err)"
}

table=$HOME/.config/sealane/calibration
if measure "a calibration" sealane-calibrate --quick; then
    is "its place" "$table" "$(cat out)"
    is "its mode" 644 "$(stat -c %a "$table")"
    is "nothing else is left" calibration "$(ls -A "$HOME/.config/sealane")"
    is "its keys" "$keys" "$(keys_in "$table")"
fi

mkdir -p "$(dirname "$table")"
printf 'version 9\n' >"$table"
one=$(taskset -pc $$ | sed 's/.*: //; s/[-,].*//')
if measure "another one, on one CPU" sealane-calibrate --quick --print --cpus="$one,$one"; then
    is "its keys" "$keys" "$(keys_in out)"
fi
is "what is printed changes no file" "version 9" "$(cat "$table")"

finish calibrate
