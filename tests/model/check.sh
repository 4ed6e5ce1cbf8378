#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Has Spin check the model doorbell.pml: the protocol as it is, in several worlds, must hold; with one fault in it, it
# must not. A model that cannot fail proves nothing.
#
#     tests/model/check.sh [NAME]...     all, or those named
#
# Prints a line for each, with the number of states searched; for one that surprises, how the run ended that Spin found.
# Works in build/model, and needs up to 700 MB of memory for each CPU.

set -uo pipefail
self=$(realpath "${BASH_SOURCE[0]}")
cd "$(dirname "$self")/../.." || exit 1
# shellcheck source-path=SCRIPTDIR source=../tools/tally.sh
. "$(dirname "$self")/../tools/tally.sh"
model=$PWD/tests/model/doorbell.pml
work=build/model

# kind name flags...; kinds: holds (safety), ends (no infinite run), fails (Spin must find the fault).
runs() {
    cat <<'TABLE'
holds one-way            FRAMES_0=3 READS_AWAKE BELLS=2
holds one-way-weak       FRAMES_0=3 WEAK BUFFER=3
holds one-way-timeouts   FRAMES_0=2 TIMEOUTS=2
holds cursor-kept        FRAMES_0=3 KEEPS_CURSOR
holds cursor-lazy        FRAMES_0=3 LAZY=3
holds one-way-loop       FRAMES_0=3 LOOP
holds both-ways-loop     FRAMES_0=2 FRAMES_1=1 RING=1 LOOP EAGER
holds both-ways          FRAMES_0=2 FRAMES_1=1 RING=1
holds both-ways-full     FRAMES_0=2 FRAMES_1=2 RING=1 EAGER
holds both-ways-weak     FRAMES_0=2 FRAMES_1=1 RING=1 EAGER WEAK
holds releases           FRAMES_0=2 LEASES=1 WEAK
holds spinning-writer    FRAMES_0=3 SPINNER=0
holds spinning-reader    FRAMES_0=3 SPINNER=1
holds spinning-both-ways FRAMES_0=2 FRAMES_1=2 RING=1 SPINNER=0 EAGER
holds death              FRAMES_0=2 CRASH
holds death-both-ways    FRAMES_0=2 FRAMES_1=1 RING=1 CRASH EAGER
holds death-weak         FRAMES_0=1 FRAMES_1=1 RING=1 CRASH WEAK
holds death-releases     FRAMES_0=1 LEASES=1 CRASH
holds death-of-spinner   FRAMES_0=2 FRAMES_1=1 RING=1 CRASH SPINNER=0
ends  one-way            FRAMES_0=3 READS_AWAKE
ends  both-ways          FRAMES_0=2 FRAMES_1=1 RING=1 EAGER
ends  releases           FRAMES_0=2 LEASES=1 EAGER
ends  death              FRAMES_0=1 FRAMES_1=1 RING=1 CRASH EAGER
fails no-publish-fence   FRAMES_0=1 NO_PUBLISH_FENCE
fails no-sleep-fence     FRAMES_0=1 NO_SLEEP_FENCE
fails no-room-fence      FRAMES_0=3 NO_ROOM_FENCE
fails no-room-look       FRAMES_0=3 NO_ROOM_LOOK
fails no-rearm           FRAMES_0=2 RING=1 LOOP NO_REARM
fails relaxed-tag        FRAMES_0=1 WEAK RELAXED_TAG
fails no-second-look     FRAMES_0=1 NO_SECOND_LOOK
fails no-last-look       FRAMES_0=1 NO_LAST_LOOK CRASH
fails early-cursor       FRAMES_0=3 LAZY=1 EARLY_CURSOR
fails keeps-batch        FRAMES_0=3 KEEPS_BATCH
fails keeps-cursor       FRAMES_0=3 LAZY=3 KEEPS_CURSOR
fails eats-doorbell      FRAMES_0=1 EATS_DOORBELL
fails deaf-writer        FRAMES_0=2 FRAMES_1=2 RING=1 EAGER DEAF_WRITER
fails flag-for-episode   FRAMES_0=2 FLAG_FOR_EPISODE
fails episodes-repeat    FRAMES_0=2 EPISODES=4
TABLE
}

# make_verifier KIND FLAG...: here, as ./pan.
make_verifier() {
    local kind=$1 pan_flags=(-DSAFETY -O1)
    shift
    case $kind in
    ends) pan_flags=(-DNP -O1) ;;
    fails) pan_flags=(-DSAFETY -O0) ;;
    esac
    spin -a "${@/#/-D}" doorbell.pml && "${CC:-cc}" -w -DMEMLIM=1500 "${pan_flags[@]}" -o pan pan.c
}

# run_verifier KIND. -E: the judge knows better than Spin which ends are good ones.
run_verifier() {
    local options=(-n -m100000 -w22 -E)
    [ "$1" = ends ] && options+=(-l)
    timeout --kill-after=10 300 ./pan "${options[@]}" >out 2>&1
}

# What Spin found, in a word: none, fault, or nothing if it could not search all.
verdict() {
    if grep -q 'errors: [1-9]' out; then
        if grep -qE 'assertion violated|non-progress cycle' out; then echo fault; fi
    elif grep -q 'errors: 0' out && ! grep -qiE 'search not completed|too small|out of memory' out; then
        echo none
    fi
}

states() {
    sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' out | head -n 1
}

# What pan said, and the last steps of the way there: spin follows the trail that pan left.
show() {
    head -n 20 out
    if [ -e doorbell.pml.trail ]; then
        spin -t -p "$@" doorbell.pml | grep -vE '\[(\.\(goto\)|sub-sequence|else|(word|line|value) = 0)' | tail -n 80
    fi
}

# one KIND NAME FLAG...: in a folder of its own; prints "verdict states".
one() {
    local kind=$1 name=$2 wanted=none found
    shift 2
    [ "$kind" = fails ] && wanted=fault
    rm -rf "$work/$kind-$name"
    mkdir -p "$work/$kind-$name"
    cp "$model" "$work/$kind-$name/"
    cd "$work/$kind-$name" || return
    make_verifier "$kind" "$@" >make.log 2>&1 || { fails "$kind $name: $(cat make.log)" && return; }
    run_verifier "$kind"
    found=$(verdict)
    if [ "$found" = "$wanted" ]; then
        passes
        printf '%-5s %-19s %9s states\n' "$kind" "$name" "$(states)"
    else
        fails "$kind $name: '$found' instead of '$wanted'"
        show "${@/#/-D}"
    fi
}

if [ "${1-}" = --one ]; then
    one "${@:2}"
    finish "model-$2-$3" >/dev/null
    exit
fi

for tool in spin "${CC:-cc}"; do
    if ! command -v "$tool" >/dev/null; then
        skips "there is no $tool"
        finish model
        exit
    fi
done

# Those whose names were given, or all.
chosen() {
    if [ $# -eq 0 ]; then
        runs
    else
        runs | awk -v names=" $* " 'index(names, " " $2 " ")'
    fi
}

chosen=$(chosen "$@")
[ -n "$chosen" ] || { printf 'no such run: %s\n' "$*" >&2 && exit 2; }
# Each is a process of its own, so that every CPU has one.
printf '%s\n' "$chosen" | xargs -P "$(nproc)" -L 1 "$self" --one
