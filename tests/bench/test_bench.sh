#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The benchmark's programs: one tiny cell of each kind, and the lines that they print. No check depends on a measured
# time.

# shellcheck source-path=SCRIPTDIR source=../examples/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../examples/lib.sh"
PATH=$build/bench:$PATH
python=${PYTHON3:-python3}
cpus=$(taskset -pc $$ 2>/dev/null | sed 's/.*: //; s/[-,].*//')
one=${cpus:-0} # a CPU that we may use; both processes on it

needs floors footprint memory neighbour scale sealane "$python"

TMPDIR=$PWD # so that what others measure at the same time is not taken for ours
export TMPDIR

# The line must have all members of a measurement, and numbers or null where numbers belong.
cat >check.py <<'PYTHON'
import json, sys
line = json.loads(open("out").read())
words = ["case", "system", "variant", "mode", "touch", "cpus", "note"]
numbers = ["clients", "size", "reply", "n", "seconds", "p50_ns", "p99_ns", "p999_ns", "max_ns", "rate", "gb_s",
           "floor_ns", "floor_before_ns", "floor_after_ns", "ratio", "syscalls_per_msg", "wakeups_per_s"]
assert sorted(line) == sorted(words + numbers), sorted(line)
assert all(isinstance(line[word], str) for word in words), line
assert all(line[number] is None or line[number] >= 0 for number in numbers), line
for wish in sys.argv[1:]:
    name, about, value = wish.partition("~" if "~" in wish else "=")
    if about == "~":
        assert abs(line[name] - float(value)) < 0.1, (wish, line[name])
    else:
        assert str(line[name]) == value if value else line[name] is not None, (wish, line[name])
if line["p50_ns"] is not None:
    assert line["p50_ns"] <= line["p99_ns"] <= line["p999_ns"] <= line["max_ns"] and line["n"] > 0, line
PYTHON

# cell WHAT "WISHES" PROGRAM ARGUMENTS...: it runs, and its line has these members (name=value, or about that value:
# name~value), or has these names at all.
cell() {
    local what=$1 wishes=$2
    shift 2
    run "$what" 0 "$@" --json --seconds 0.02 --cpus "$one"
    # shellcheck disable=SC2086 # words
    if "$python" check.py $wishes 2>err; then
        passes
    else
        fails "$what: $(tail -n 1 err)"
    fi
}

sleeping="mode=sleep p50_ns rate gb_s floor_ns=None ratio=None syscalls_per_msg=None wakeups_per_s=None"

cell "a word" "system=line $sleeping" floors --system line --mode sleep
for variant in single rotating snapshot; do
    cell "shared, $variant" "variant=$variant size=65536 $sleeping" floors --system shared --variant $variant \
        --mode sleep --size 65536
done
for variant in seqpacket stream; do
    cell "socket, $variant" "variant=$variant reply=64 $sleeping" floors --system socket --variant $variant \
        --mode sleep --size 4096 --reply 64
    cell "socket, $variant, one way" "case=oneway $sleeping" floors --system socket --variant $variant --mode sleep \
        --case oneway
done
for variant in naive populate write huge; do
    cell "memfd, $variant" "variant=$variant $sleeping" floors --system memfd --variant $variant \
        --mode sleep --size 8192
done
for variant in copy fill read; do
    cell "memory, $variant" "variant=$variant p50_ns gb_s" floors --system memory --variant $variant --mode spin
done

for variant in auto bytes block stable copy snapshot sealed huge; do
    cell "sealane, $variant" "system=sealane variant=$variant size=8192 $sleeping" sealane --mode sleep --size 8192 \
        --variant $variant
done
cell "sealane, ends" "touch=ends $sleeping" sealane --mode sleep --size 1048576 --touch ends
cell "sealane, adaptive" "mode=adaptive p50_ns" sealane --mode adaptive
cell "sealane, one way" "case=oneway $sleeping" sealane --mode sleep --case oneway
cell "sealane, five clients" "clients=5 $sleeping" sealane --mode sleep --clients 5
cell "sealane, five clients one way" "clients=5 case=oneway" sealane --mode sleep --clients 5 --case oneway
cell "sealane, idle" "case=idle wakeups_per_s=0.0 p50_ns=None" sealane --mode sleep --case idle

# Counting stops the processes at each system call (ptrace), and a traced process cannot check for leaks.
export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
cell "socket, calls counted" "syscalls_per_msg~4 p50_ns=None rate=None" floors --system socket --mode sleep --syscalls
cell "memory, no calls" "syscalls_per_msg~0" floors --system memory --mode spin --syscalls

# A cell that is impossible has another status than a wrong command line.
run "a ring that cannot sleep" 77 floors --system ring --case oneway --mode sleep
says "a ring that cannot sleep" err "does not wait that way"
run "no such case" 77 floors --system ring --mode spin
run "too large for one packet" 77 floors --system socket --mode sleep --size 16777216 --seconds 0.02 --cpus "$one"
run "too large for a copy" 77 sealane --variant copy --size 1048576 --seconds 0.02 --cpus "$one"
run "no such variant" 2 sealane --variant none
run "no such system" 2 floors --system none
run "no system" 2 floors
run "a size that is no number of words" 2 sealane --size 12
run "too many clients" 2 sealane --clients 65
says "too many clients" err "usage:"

is "directories left" "" "$(find "$TMPDIR" -maxdepth 1 -name 'sealane-bench-*')"

# Memory: the cost of a loan, each size and pattern once.
run "memory, speed" 0 memory speed --seconds 0.0002
is "memory, speed: lines" 16 \
    "$(grep -c '"case":"speed","system":"sealane","pattern":"[a-z]*","size":[0-9]*,"ns":[0-9.]*}$' out)"
run "memory, speed of malloc" 0 memory speed --system some --seconds 0.0002
is "memory, speed of malloc: lines" 16 "$(grep -c '"system":"some"' out)"
for variant in rotate rotate-pair still still-pair; do
    run "memory, spikes, $variant" 0 memory spikes --variant $variant --count 2 --bytes 4000000
    is "memory, spikes, $variant: cycles" 2 \
        "$(grep -c '"moment":"after","t":[0-9.]*,"resident":[0-9]*,"expected":[0-9]*}$' out)"
done
run "memory, waste" 0 memory waste --bytes 1000000
is "memory, waste: looks" 240 "$(grep -c '"mapped":[0-9]*,"asked":[0-9]*,"arenas":[0-9]*}$' out)"
run "memory, fair" 0 memory fair --count 1 --seconds 0.05
is "memory, fair: rounds" "0 3 0" "$(sed 's/.*"bad":\([0-9]*\),"rate":[0-9.]*}$/\1/' out | xargs)"
run "memory, refusals" 0 memory refusals --seconds 0.001
is "memory, refusals: limits" 9 "$(sed 's/.*"limit":"\([^"]*\)".*/\1/' out | sort -u | wc -l)"
is "memory, refusals: otherwise than they should" "" \
    "$(grep -v '"why":"[^"]*"}$\|"named":true,"served":true,"before":[0-9.]*,"after":[0-9.]*,"refusal":".*"}$' out)"
run "memory, soak" 0 memory soak --seconds 0.4
is "memory, soak: who" "client server" "$(sed 's/.*"who":"\([a-z]*\)".*"shmem":[0-9]*}$/\1/' out | sort -u | xargs)"
run "memory, no such case" 2 memory none
run "memory, no case" 2 memory

# Idle connections: each kind of line, and the judgement of the lines.
run "scale" 0 scale --count 200 --rounds 2 --seconds 0.01
is "scale: rounds" 2 "$(grep -c '"round":[0-9]*,"alone_ns":[0-9.]*,"beside_ns":[0-9.]*}$' out)"
is "scale: moments, of a server, four clients and the machine" 18 \
    "$(grep -c '"moment":"[a-z]*","who":"[a-z]*","anon":[0-9]*,' out)"
is "scale: spread" 1 "$(grep -c '"count":200,"servers":1,"per_server":200,"clients":4,"rate":[0-9.]*}$' out)"
run "scale, too few" 2 scale --count 1

# One connection's memory, and one client beside another.
run "footprint" 0 footprint --count 2
is "footprint: lines" 1 "$(grep -c '^{"case":"footprint","count":2,"server":[0-9]*,"client":[1-9][0-9]*}$' out)"
run "footprint, none" 2 footprint --count 0
run "neighbour" 0 neighbour --rounds 2 --seconds 0.02 --cpus "$one,$one"
is "neighbour: rounds" 2 "$(grep -c '"case":"neighbour","round":[01],"alone_ns":[0-9.]*,"beside_ns":[0-9.]*}$' out)"
run "neighbour, no rounds" 2 neighbour --rounds 0

# The day's load is equal in each run, and none of its figures is a time: so it is judged here too, where its 700 MiB
# are made quickly enough.
if [ "${CK_TIMEOUT_MULTIPLIER:-1}" -gt 1 ]; then
    skips "memory, waste: this build is too slow for all of it"
else
    mkdir -p judged/bench && ln -s "$build/bench/memory" judged/bench/memory
    run "memory, waste: what is promised" 0 env PYTHONDONTWRITEBYTECODE=1 \
        "$python" "$tests_dir/../../bench/run/memory.py" --build judged --only waste
    is "memory, waste: verdicts" 2 "$(grep -c 'HOLDS$' out)"
fi

# The driver: its judgements, without running a cell.
run "the driver's own tests" 0 env PYTHONDONTWRITEBYTECODE=1 "$python" "$tests_dir/../bench/test_run.py"
run "the counter of instructions" 0 env PYTHONDONTWRITEBYTECODE=1 "$python" "$tests_dir/../bench/test_instructions.py"
run "earlier commits" 0 env PYTHONDONTWRITEBYTECODE=1 "$python" "$tests_dir/../bench/test_commit.py"

finish_examples bench
