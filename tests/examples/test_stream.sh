#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# producer and consumer: every consumer gets the whole input, from one set of blocks.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs producer consumer

head -c 10000001 /dev/urandom >file
head -c 70000 /dev/urandom >other

# --- one consumer ---

start_server producer producer -v --checksum file
producer=$pid
run "one consumer" 0 consumer --verify -o copy
same "one consumer" file copy
is "blocks" 10 "$(field blocks err)"
is "bytes" 10000001 "$(field bytes err)"
is "bytes copied by the consumer" 0 "$(field 'bytes copied' err)"
says "verified" err "verified         yes"
ended "the producer" "$producer" 0
is "blocks sent" 10 "$(field blocks producer.err)"
is "bytes sent" 10000001 "$(field bytes producer.err)"
is "bytes copied by the producer" 0 "$(field 'bytes copied' producer.err)"
is "nothing to reclaim" 0 "$(field reclaimed producer.err)"

# --- several consumers, which share the blocks; several files; blocks of another size ---

start_server producer producer -v --checksum --wait-for=3 --block=64k file other file
producer=$pid
cat file other file >expected
for i in 1 2; do
    start "consumer$i" consumer --verify -o "copy$i" --hold=$((i * 3))
done
run "three consumers" 0 consumer --verify -o -
same "three consumers, 3" expected out
ended "three consumers" "$producer" 0
for i in 1 2; do
    ended "three consumers, $i" "${pids[-$((3 - i))]}" 0
    same "three consumers, $i" expected "copy$i"
done
says "three consumers" producer.err "3 served, 0 died"
is "a block across files" "$(($(wc -c <expected) / 65536 + 1))" "$(field blocks producer.err)"

# --- standard input; a slow pipe ---

mkfifo pipe
exec 3<>pipe
start_server producer producer -v <pipe
producer=$pid
{
    head -c 100 file
    sleep 0.2
    tail -c +101 file
} >&3 &
pids+=($!)
exec 3>&-
run "standard input" 0 consumer -o copy
same "standard input" file copy
ended "standard input: the producer" "$producer" 0

# --- empty input ---

start_server producer producer -v --checksum /dev/null
producer=$pid
run "nothing" 0 consumer --verify -o copy
is "nothing" 0 "$(wc -c <copy)"
ended "nothing: the producer" "$producer" 0

# --- a part of the input, and the input several times ---

start_server producer producer -v --limit=3 --block=1k file
producer=$pid
run "--limit" 0 consumer -o copy
same "--limit" <(head -c 3072 file) copy
ended "--limit: the producer" "$producer" 0
start_server producer producer -v --repeat=3 --block=100k other
producer=$pid
run "--repeat" 0 consumer -o copy
same "--repeat" <(cat other other other) copy
ended "--repeat: the producer" "$producer" 0
start_server producer producer -v --repeat=0 --limit=50 other
producer=$pid
run "--repeat=0" 0 consumer
is "--repeat=0" 50 "$(field blocks err)"
ended "--repeat=0: the producer" "$producer" 0

# --- a late consumer can verify its part ---

start_server producer producer -v --checksum --rate=20 --block=100k --repeat=3 file
producer=$pid
start early consumer --verify
early=$pid
await "the early one" grep -q "process $early of" producer.err
sleep 0.3
run "a late consumer" 0 consumer --verify
more "a late consumer: blocks before" 1 "$(field 'not received' err)"
ended "the early one" "$early" 0
is "the early one: blocks before" 0 "$(field 'not received' early.err)"
ended "with --rate" "$producer" 0

# --- slow consumers ---

start_server producer producer -v --checksum --slow=wait --block=100k file
producer=$pid
run "a slow consumer, waited for" 0 consumer --verify --delay=2 --window=1
is "a slow consumer, waited for" 98 "$(field blocks err)"
ended "--slow=wait" "$producer" 0

start_server producer producer -v --checksum --slow=drop --wait-for=2 --block=100k --rate=50 file
producer=$pid
start slow consumer --verify --delay=20 --window=1
slow=$pid
run "beside a slow consumer" 0 consumer --verify --window=200
is "beside a slow consumer" 98 "$(field blocks err)"
ended "a slow consumer that misses some" "$slow" 0
is "what it got and what it missed" 98 \
    "$(($(field blocks slow.err) + $(sed -n 's/^not received .* \([0-9]*\) in between/\1/p' slow.err)))"
ended "--slow=drop" "$producer" 0

start_server producer producer -v --checksum --slow=disconnect --wait-for=2 --block=100k --rate=50 file
producer=$pid
start slow consumer --verify --delay=100 --window=1
slow=$pid
run "beside one that is disconnected" 0 consumer --verify --window=200
ended "one that is disconnected" "$slow" 1
says "one that is disconnected" slow.err "the stream broke off"
ended "--slow=disconnect" "$producer" 0
says "--slow=disconnect" producer.err "1 too slow"

finish_examples stream
