# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Functions for test scripts: they count, report and tally as the harness of the C tests does (tests/support/suite.h). A
# script sources this file, calls passes, fails and skips, and ends with `finish NAME`.

passed=0 failed=0 skipped=0

passes() {
    passed=$((passed + 1))
}

fails() {
    failed=$((failed + 1))
    printf 'FAIL: %s\n' "$*"
}

skips() {
    skipped=$((skipped + 1))
    printf 'SKIP: %s\n' "$*"
}

# Runs a command that must succeed; shows its output if it does not.
must() {
    what=$1
    shift
    if output=$("$@" 2>&1); then passes; else fails "$what: $output"; fi
}

# Runs a command that must fail and print `words`.
must_refuse() {
    what=$1 words=$2
    shift 2
    if output=$("$@" 2>&1); then
        fails "$what: was accepted"
    else
        case $output in
        *"$words"*) passes ;;
        *) fails "$what: said '$output' instead of '$words'" ;;
        esac
    fi
}

finish() {
    printf '%s: %d passed, %d failed, %d skipped\n' "$1" "$passed" "$failed" "$skipped"
    if [ -n "${SEALANE_TALLY-}" ]; then
        printf '%s %d %d %d\n' "$1" "$passed" "$failed" "$skipped" >>"$SEALANE_TALLY"
    fi
    [ "$failed" -eq 0 ]
}
