#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# demo.sh BUILD-DIR: Sealane at work on files of this machine. `./dev demo` calls it.
#
# 1. digestd hashes some 300 MiB of shared libraries for digest, and sha256sum must agree.
# 2. producer streams them to two consumers; one of these is killed while it holds blocks, which must come back to the
#    producer, while the other consumer gets and verifies the whole stream.
# 3. A small call and a large one are timed, beside a plain socket: `./dev bench` measures with more care.
#
# Everything happens in a temporary directory, with a runtime directory inside it. The demo succeeds only if all checks
# hold, no byte was copied, and nothing is left behind.

set -u

size_limit=$((300 << 20)) # bytes of files
patience=60               # seconds to wait for anything

bin=$(cd "${1:?usage: demo.sh BUILD-DIR}/examples" && pwd) || exit 1
bench=$(cd "$1/bench" && pwd) || exit 1
work=$(mktemp -d) || exit 1
export XDG_RUNTIME_DIR=$work/run
pids=()

cleanup() {
    local pid
    for pid in "${pids[@]}"; do
        kill -KILL "$pid" 2>/dev/null
    done
    wait
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

die() {
    printf 'demo: %s\n' "$*" >&2
    tail -n 5 "$work"/*.err >&2 2>/dev/null
    exit 1
}

# start NAME PROGRAM ARGUMENT...: runs it in the background; its messages are in NAME.err, its process in $pid.
start() {
    local name=$1 program=$2
    shift 2
    : >"$work/$name.err"
    "$bin/$program" "$@" 2>>"$work/$name.err" &
    pid=$!
    pids+=("$pid")
}

# await NAME WORDS [NUMBER]: waits until NAME has printed WORDS, in NUMBER lines.
await() {
    local end=$((SECONDS + patience))
    until [ "$(grep -c "$2" "$work/$1.err")" -ge "${3:-1}" ]; do
        [ "$SECONDS" -lt "$end" ] || die "$1 does not say '$2'"
        sleep 0.05
    done
}

# field NAME LABEL: the text in a line of NAME's summary; number NAME LABEL: the number that it begins with.
field() {
    sed -n "s/^$2  *//p" "$work/$1.err"
}
number() {
    local text
    text=$(field "$1" "$2")
    printf '%s' "${text%%[!0-9]*}"
}

show() {
    printf '  %-14s %s\n' "$1" "${*:2}"
}

mkdir -m 700 "$XDG_RUNTIME_DIR"

# --- the files ---

files=()
bytes=0
while IFS=$'\t' read -r -d '' size file; do
    [ "$((bytes + size))" -le "$size_limit" ] || continue
    files+=("$file")
    bytes=$((bytes + size))
done < <(find /usr/lib /lib /usr/local/lib -type f -name '*.so*' -readable -printf '%s\t%p\0' 2>/dev/null |
    sort -z -u -k 2)
[ "${#files[@]}" -gt 0 ] || die "there are no shared libraries here"

printf "Sealane at work: %d shared libraries of this machine, %d MiB\n" "${#files[@]}" "$((bytes >> 20))"

# --- digest ---

start digestd digestd -v
digestd=$pid
await digestd 'listening at'
printf '%s\0' "${files[@]}" | "$bin/digest" -0 --summary >"$work/sums" 2>"$work/digest.err" || die "digest failed"
[ "$(number digest files)" -eq "${#files[@]}" ] || die "digest did not do all files"
sha256sum --check --quiet --strict "$work/sums" >&2 || die "sha256sum disagrees"
kill -TERM "$digestd"
wait "$digestd" || die "digestd did not end well"

show "digest" "$(number digest files) files, $(number digest bytes) bytes, $(field digest rate)"
show "sha256sum" "agrees about all of them"

# --- producer and two consumers; one is killed ---

repeat=$((size_limit / bytes)) # so that there is a middle, however few the libraries
start producer producer -v --checksum --wait-for=2 --block=1M --rate=250 --repeat="$repeat" "${files[@]}"
producer=$pid
await producer 'listening at'
start survivor consumer --verify
survivor=$pid
start victim consumer --hold=8 --delay=2
victim=$pid
await producer ' connected' 2
sleep 0.4 # in the middle of the stream, which takes more than a second
kill -KILL "$victim" || die "the stream ended before the kill"
wait "$victim" 2>/dev/null
wait "$survivor" || die "the other consumer did not get the stream"
wait "$producer" || die "producer did not end well"
[ "$(number producer reclaimed)" -gt 0 ] || die "nothing was reclaimed"

show "stream" "$(number producer blocks) blocks, $(number producer bytes) bytes, to two consumers," \
    "$(field producer rate)"
show "killed" "one of them, in mid-stream; the other verified the whole stream: $(field survivor verified)"
show "reclaimed" "$(field producer reclaimed)"

# --- the sums ---

for name in digest producer survivor; do
    [ "$(number "$name" "bytes copied")" = 0 ] || die "$name: bytes copied: $(field "$name" "bytes copied")"
done
show "bytes copied" "0 of the payload, as the library counted in digest, producer and consumer"
show "huge pages" "$(field producer 'huge pages')"

# --- the fast lane, beside a plain socket ---

[ "$(nproc)" -gt 1 ] && cpus=0,1 || cpus=0,0

# cell FIELD PROGRAM ARGUMENT...: makes one short measurement; prints the field's number.
cell() {
    local field=$1 program=$2
    shift 2
    "$bench/$program" --cpus "$cpus" --seconds 0.4 --json "$@" | sed -n "s/.*\"$field\":\([0-9.]*\).*/\1/p"
}
microseconds() {
    awk -v ns="$1" 'BEGIN { if (ns == "") printf "not measured"; else printf "%.2f us", ns / 1000 }'
}
round_trip() {
    local mode=$1
    shift
    microseconds "$(cell p50_ns "$@" --case roundtrip --size 64 --mode "$mode")"
}
# rate GB-A-SECOND: prints the rate in a unit that gives it some digits, also on a busy machine.
rate() {
    awk -v gb="$1" 'BEGIN {
        if (gb == "") printf "not measured, the machine is too busy"
        else if (gb >= 1) printf "%.1f GB/s", gb
        else if (gb >= 0.01) printf "%.0f MB/s", gb * 1e3
        else printf "%.2f MB/s", gb * 1e3
    }'
}
throughput() {
    rate "$(cell gb_s "$@" --case roundtrip --size 1048576)"
}
plain() {
    printf '%s\n' floors --system socket --variant "$1"
}

mapfile -t packets < <(plain seqpacket)
mapfile -t stream < <(plain stream)
show "round trip" "64 bytes: $(round_trip adaptive sealane); both asleep: $(round_trip sleep sealane)"
show "" "a plain socket: $(round_trip spin "${packets[@]}"), polled; both asleep: $(round_trip sleep "${packets[@]}")"
show "throughput" "1 MiB written and read in full: $(throughput sealane --mode adaptive);" \
    "both asleep: $(throughput sealane --mode sleep)"
show "" "a plain socket: $(throughput "${stream[@]}" --mode spin), polled;" \
    "both asleep: $(throughput "${stream[@]}" --mode sleep)"

for pid in "${pids[@]}"; do
    ! kill -0 "$pid" 2>/dev/null || die "process $pid is still there"
done
[ -z "$(find "$XDG_RUNTIME_DIR" -type s)" ] || die "a socket is left"
show "left behind" "no process, no socket"
