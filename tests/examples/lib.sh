# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Functions for the tests through the real programs. A script sources this file, uses the functions below, and ends with
# `finish_examples NAME`. Each script has a directory of its own ($work, also the current one), with a runtime directory
# inside it, so that several can run at once. Every process that a script started is gone when the script ends.
#
# Environment: top_builddir (or builddir), CK_TIMEOUT_MULTIPLIER (for slow builds), SEALANE_TALLY.

set -u

tests_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../tools/tally.sh
. "$tests_dir/../tools/tally.sh"

build=$(cd "${top_builddir:-${builddir:-.}}" && pwd) || exit 1
PATH=$build/examples:$PATH
patience=$((300 * ${CK_TIMEOUT_MULTIPLIER:-1})) # seconds; hundred times as long as what runs here, on an idle machine
work=$(mktemp -d) || exit 1
export XDG_RUNTIME_DIR=$work/run
pids=()
elsewhere= # another directory of the script's, if it needs one

cleanup() {
    local pid
    for pid in "${pids[@]}"; do
        kill -KILL "$pid" 2>/dev/null
    done
    rm -rf "$work" ${elsewhere:+"$elsewhere"}
}
trap cleanup EXIT
trap 'exit 1' INT TERM
mkdir -m 700 "$XDG_RUNTIME_DIR"
cd "$work" || exit 1

# needs PROGRAM...: ends the script, visibly, if one of the programs was not built or installed.
needs() {
    local program
    for program in "$@"; do
        if ! command -v "$program" >/dev/null; then
            skips "there is no $program"
            finish "examples-$(basename "$0" .sh)"
            exit
        fi
    done
}

# run WHAT STATUS COMMAND...: the command must end with that status. Its output is in ./out and ./err.
run() {
    local what=$1 expected=$2 status=0
    shift 2
    timeout -k 5 "$patience" "$@" >out 2>err || status=$?
    if [ "$status" -eq "$expected" ]; then
        passes
    else
        fails "$what: status $status instead of $expected; $(head -c 400 err)"
    fi
}

# says WHAT FILE WORDS: the file has a line with these words.
says() {
    if grep -qF -- "$3" "$2"; then
        passes
    else
        fails "$1: '$3' is not in $2: $(head -c 400 "$2")"
    fi
}

# is WHAT EXPECTED ACTUAL
is() {
    if [ "$2" = "$3" ]; then
        passes
    else
        fails "$1: '$3' instead of '$2'"
    fi
}

# same WHAT EXPECTED-FILE FILE
same() {
    if cmp -s "$2" "$3"; then
        passes
    else
        fails "$1: $(diff "$2" "$3" 2>&1 | head -c 400)"
    fi
}

# more WHAT LEAST NUMBER: NUMBER is at least LEAST.
more() {
    if [ "$3" -ge "$2" ] 2>/dev/null; then
        passes
    else
        fails "$1: '$3' instead of at least $2"
    fi
}

# await WHAT COMMAND...: waits until the command succeeds.
await() {
    local what=$1 end=$((SECONDS + patience))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$end" ]; then
            fails "$what: waited in vain"
            return 1
        fi
        sleep 0.02
    done
}

# start NAME COMMAND...: runs it in the background, with the signals of a foreground command; its output is in
# ./NAME.out and ./NAME.err, its process in $pid. Descriptor 3 stays the script's own (it may be the other end of a
# fifo). Without "<&0" the shell would give the command /dev/null to read.
start() {
    local name=$1
    shift
    : >"$name.err" # now, not when the child comes to it: what an earlier one said must not be taken for its words
    env --default-signal=INT,QUIT "$@" <&0 >"$name.out" 2>"$name.err" 3>&- &
    pid=$!
    pids+=("$pid")
}

# start_server NAME COMMAND...: as start, for a program that prints its address (-v); waits for that line.
start_server() {
    start "$@" && await "$1 listens" grep -q 'listening at' "$1.err"
}

is_gone() {
    ! kill -0 "$1" 2>/dev/null
}

# ended WHAT PID STATUS: the process ends by itself, with that status.
ended() {
    local status=0
    await "$1: the end" is_gone "$2" || return
    wait "$2" 2>/dev/null || status=$?
    is "$1: status" "$3" "$status"
}

# stop WHAT PID: ends a server, which must end in good order.
stop() {
    kill -TERM "$2"
    ended "$1" "$2" 0
}

# field LABEL FILE: prints the number in a summary's line.
field() {
    sed -n "s/^$1  *\([0-9]*\).*/\1/p" "$2"
}

# to_true COMMAND...: sends its output to a process that does not read it; returns the command's status.
to_true() {
    "$@" | true
    return "${PIPESTATUS[0]}"
}
export -f to_true

# No process and no socket may be left.
finish_examples() {
    local left
    for left in "${pids[@]}"; do
        is_gone "$left" || fails "process $left is still there"
    done
    is "sockets left" "" "$(find "$XDG_RUNTIME_DIR" -type s)"
    finish "examples-$1"
}
