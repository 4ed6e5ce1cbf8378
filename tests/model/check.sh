#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Makes Spin check the models doorbell.pml and growth.pml: the protocol must hold in several configurations; with one
# fault in it, it must not. A model that cannot fail proves nothing.
#
#     tests/model/check.sh [NAME]...     all runs, or the runs with that name or model
#
# Prints a line for each run, with the number of states searched; for an unexpected result, also the end of the run that
# Spin found. Works in build/model, and needs up to 700 MB of memory for each CPU.

set -uo pipefail
self=$(realpath "${BASH_SOURCE[0]}")
cd "$(dirname "$self")/../.." || exit 1
# shellcheck source-path=SCRIPTDIR source=../tools/tally.sh
. "$(dirname "$self")/../tools/tally.sh"
models=$PWD/tests/model
work=build/model

# kind model name flags...; kinds: holds (safety), ends (no infinite run), fails (Spin must find the fault).
runs() {
    cat <<'TABLE'
holds doorbell one-way            FRAMES_0=3 READS_AWAKE BELLS=2
holds doorbell one-way-weak       FRAMES_0=3 WEAK BUFFER=3
holds doorbell one-way-timeouts   FRAMES_0=2 TIMEOUTS=2
holds doorbell cursor-kept        FRAMES_0=3 KEEPS_CURSOR
holds doorbell cursor-lazy        FRAMES_0=3 LAZY=3
holds doorbell one-way-loop       FRAMES_0=3 LOOP
holds doorbell both-ways-loop     FRAMES_0=2 FRAMES_1=1 RING=1 LOOP EAGER
holds doorbell both-ways          FRAMES_0=2 FRAMES_1=1 RING=1
holds doorbell both-ways-full     FRAMES_0=2 FRAMES_1=2 RING=1 EAGER
holds doorbell both-ways-weak     FRAMES_0=2 FRAMES_1=1 RING=1 EAGER WEAK
holds doorbell releases           FRAMES_0=2 LEASES=1 WEAK
holds doorbell spinning-writer    FRAMES_0=3 SPINNER=0
holds doorbell spinning-reader    FRAMES_0=3 SPINNER=1
holds doorbell spinning-both-ways FRAMES_0=2 FRAMES_1=2 RING=1 SPINNER=0 EAGER
holds doorbell death              FRAMES_0=2 CRASH
holds doorbell death-both-ways    FRAMES_0=2 FRAMES_1=1 RING=1 CRASH EAGER
holds doorbell death-weak         FRAMES_0=1 FRAMES_1=1 RING=1 CRASH WEAK
holds doorbell death-releases     FRAMES_0=1 LEASES=1 CRASH
holds doorbell death-of-spinner   FRAMES_0=2 FRAMES_1=1 RING=1 CRASH SPINNER=0
ends  doorbell one-way            FRAMES_0=3 READS_AWAKE
ends  doorbell both-ways          FRAMES_0=2 FRAMES_1=1 RING=1 EAGER
ends  doorbell releases           FRAMES_0=2 LEASES=1 EAGER
ends  doorbell death              FRAMES_0=1 FRAMES_1=1 RING=1 CRASH EAGER
fails doorbell no-publish-fence   FRAMES_0=1 NO_PUBLISH_FENCE
fails doorbell no-sleep-fence     FRAMES_0=1 NO_SLEEP_FENCE
fails doorbell no-room-fence      FRAMES_0=3 NO_ROOM_FENCE
fails doorbell no-room-look       FRAMES_0=3 NO_ROOM_LOOK
fails doorbell no-rearm           FRAMES_0=2 RING=1 LOOP NO_REARM
fails doorbell relaxed-tag        FRAMES_0=1 WEAK RELAXED_TAG
fails doorbell no-second-look     FRAMES_0=1 NO_SECOND_LOOK
fails doorbell no-last-look       FRAMES_0=1 NO_LAST_LOOK CRASH
fails doorbell early-cursor       FRAMES_0=3 LAZY=1 EARLY_CURSOR
fails doorbell keeps-batch        FRAMES_0=3 KEEPS_BATCH
fails doorbell keeps-cursor       FRAMES_0=3 LAZY=3 KEEPS_CURSOR
fails doorbell eats-doorbell      FRAMES_0=1 EATS_DOORBELL
fails doorbell deaf-writer        FRAMES_0=2 FRAMES_1=2 RING=1 EAGER DEAF_WRITER
fails doorbell flag-for-episode   FRAMES_0=2 FLAG_FOR_EPISODE
fails doorbell episodes-repeat    FRAMES_0=2 EPISODES=4
holds growth   plain              FRAMES=4
holds growth   messages           FRAMES=3 MESSAGES=1
holds growth   weak               FRAMES=3 MESSAGES=1 WEAK BUFFER=3
holds growth   death              FRAMES=2 MESSAGES=1 CRASH
holds growth   releases           FRAMES=4 RELEASES
holds growth   releases-death     FRAMES=3 RELEASES CRASH
ends  growth   plain              FRAMES=3
ends  growth   releases           FRAMES=3 RELEASES
fails growth   mark-first         FRAMES=3 MARK_FIRST
fails growth   no-kept-line       FRAMES=3 NO_KEPT_LINE
fails growth   no-mark-look       FRAMES=3 NO_MARK_LOOK
fails growth   no-new-look        FRAMES=3 NO_NEW_LOOK
fails growth   no-sleep-fence     FRAMES=3 NO_SLEEP_FENCE
fails growth   looks-at-old       FRAMES=3 LOOKS_AT_OLD
fails growth   switch-at-once     FRAMES=3 SWITCH_AT_ONCE
fails growth   switch-at-any-mark FRAMES=3 MESSAGES=1 SWITCH_AT_ANY_MARK
fails growth   no-switch          FRAMES=3 NO_SWITCH
fails growth   releases-at-once   FRAMES=3 RELEASES SWITCH_AT_ONCE
fails growth   hands-over-early   FRAMES=3 MESSAGES=1 HANDS_OVER_EARLY
fails growth   unordered-socket   FRAMES=3 MESSAGES=1 UNORDERED_SOCKET
fails growth   relaxed-tag        FRAMES=3 WEAK RELAXED_TAG
TABLE
}

# make_verifier KIND FLAG...: builds the verifier here, as ./pan.
make_verifier() {
    local kind=$1 pan_flags=(-DSAFETY -O1)
    shift
    case $kind in
    ends) pan_flags=(-DNP -O1) ;;
    fails) pan_flags=(-DSAFETY -O0) ;;
    esac
    spin -a "${@/#/-D}" model.pml && "${CC:-cc}" -w -DMEMLIM=1500 "${pan_flags[@]}" -o pan pan.c
}

# run_verifier KIND. -E: the judge in the model decides which end states are good, not Spin.
run_verifier() {
    local options=(-n -m100000 -w22 -E)
    [ "$1" = ends ] && options+=(-l)
    timeout --kill-after=10 300 ./pan "${options[@]}" >out 2>&1
}

# Prints the result of Spin in a word: none, fault, or nothing if Spin could not search everything.
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

# Prints pan's output, and the last steps of the run: spin follows the trail that pan left.
show() {
    head -n 20 out
    if [ -e model.pml.trail ]; then
        spin -t -p "$@" model.pml | grep -vE '\[(\.\(goto\)|sub-sequence|else|(word|line|value) = 0)' | tail -n 80
    fi
}

# one KIND MODEL NAME FLAG...: runs in a folder of its own; prints "verdict states".
one() {
    local kind=$1 model=$2 name=$2-$3 wanted=none found
    shift 3
    [ "$kind" = fails ] && wanted=fault
    rm -rf "$work/$kind-$name"
    mkdir -p "$work/$kind-$name"
    cp "$models/$model.pml" "$work/$kind-$name/model.pml"
    cd "$work/$kind-$name" || return
    make_verifier "$kind" "$@" >make.log 2>&1 || { fails "$kind $name: $(cat make.log)" && return; }
    run_verifier "$kind"
    found=$(verdict)
    if [ "$found" = "$wanted" ]; then
        passes
        printf '%-5s %-27s %9s states\n' "$kind" "$name" "$(states)"
    else
        fails "$kind $name: '$found' instead of '$wanted'"
        show "${@/#/-D}"
    fi
}

if [ "${1-}" = --one ]; then
    one "${@:2}"
    finish "model-$2-$3-$4" >/dev/null
    exit
fi

for tool in spin "${CC:-cc}"; do
    if ! command -v "$tool" >/dev/null; then
        skips "there is no $tool"
        finish model
        exit
    fi
done

# Prints the runs with the given names, or all.
chosen() {
    if [ $# -eq 0 ]; then
        runs
    else
        runs | awk -v names=" $* " 'index(names, " " $2 " ") || index(names, " " $3 " ")'
    fi
}

chosen=$(chosen "$@")
[ -n "$chosen" ] || { printf 'no such run: %s\n' "$*" >&2 && exit 2; }
# Each run is a process of its own, one for each CPU.
printf '%s\n' "$chosen" | xargs -P "$(nproc)" -L 1 "$self" --one
