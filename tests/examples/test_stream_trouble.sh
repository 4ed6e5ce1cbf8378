#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# producer and consumer in case of errors; above all, when one of them is killed.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs producer consumer

head -c 3000000 /dev/urandom >file

# --- arguments ---

for bad in --nonsense --block=0 --block=17G --limit=0 --repeat=x --rate=x --slow=x --wait-for=-1 --linger=x \
    --repeat=2; do
    run "producer $bad" 2 producer "$bad" </dev/null
    says "producer $bad" err "Try 'producer --help'."
done
for bad in --nonsense --hold=x --window=0 --delay=-1 unexpected; do
    run "consumer $bad" 2 consumer "$bad"
    says "consumer $bad" err "Try 'consumer --help'."
done
run "a window that never opens" 2 consumer --hold=3 --window=3
for program in producer consumer; do
    run "$program --help" 0 "$program" --help
    says "$program --help" out "usage: $program"
    run "$program --version" 0 "$program" --version
    says "$program --version" out "$program (Sealane) "
done

# --- no producer, no consumer ---

run "no producer" 2 consumer -o copy
says "no producer" err "no producer at 'stream'"
if [ -e copy ]; then fails "no producer: a file was made"; else passes; fi
run "no consumers, none wanted" 0 producer --wait-for=0 file
is "no consumers, none wanted" 3000000 "$(field bytes err)"
says "no consumers, none wanted" err "0 served"

start_server producer producer -v file
producer=$pid
run "a second producer" 2 producer file
says "a second producer" err "there is a server at 'stream' already"
kill -INT "$producer"
ended "SIGINT while waiting for consumers" "$producer" 130

mkfifo pipe
exec 3<>pipe
start_server producer producer -v --wait-for=0 <pipe
producer=$pid
kill -TERM "$producer"
ended "SIGTERM while waiting for input" "$producer" 130
exec 3>&-

# --- files ---

start_server producer producer -v nowhere file . file
producer=$pid
run "missing files" 0 consumer -o copy
same "missing files: the others" <(cat file file) copy
ended "missing files: the producer" "$producer" 1
says "missing files" producer.err "nowhere: No such file or directory"
says "missing files" producer.err ".: Is a directory"

# --- a consumer is killed while it holds blocks ---

start_server producer producer -v --checksum --wait-for=2 --block=64k --rate=20 --repeat=4 file
producer=$pid
start victim consumer --hold=8 --delay=1
victim=$pid
start other consumer --verify
other=$pid
await "the other consumer" grep -q "process $other of" producer.err
sleep 0.3 # until the consumer holds its blocks
kill -KILL "$victim"
ended "the other consumer" "$other" 0
ended "the producer" "$producer" 0
says "a consumer killed" producer.err "process $victim left: Broken pipe"
says "a consumer killed" producer.err "2 served, 1 died"
more "blocks reclaimed" 1 "$(field reclaimed producer.err)"
is "bytes reclaimed" "$(($(field reclaimed producer.err) * 65536))" \
    "$(sed -n 's/^reclaimed .* blocks, \([0-9]*\) bytes/\1/p' producer.err)"

start_server producer producer -v --block=64k --rate=10 --repeat=0 file
producer=$pid
start victim consumer
victim=$pid
await "it is served" grep -q "process $victim of" producer.err
kill -KILL "$victim"
ended "the only consumer is killed" "$producer" 1
says "the only consumer is killed" producer.err "no consumer is left"

# A stopped consumer: the others wait for it, as the policy says, and its death ends their wait.
start_server producer producer -v --wait-for=2 --block=64k --repeat=4 file
producer=$pid
start victim consumer --window=2 --delay=1
victim=$pid
await "the victim" grep -q "process $victim of" producer.err
kill -STOP "$victim"
start other consumer
other=$pid
sleep 0.3
if is_gone "$other"; then fails "the stream did not wait"; else passes; fi
kill -KILL "$victim"
ended "set free" "$other" 0
ended "set free: the producer" "$producer" 0

# At the end, the producer waits for a consumer that gives nothing back, but not for ever.
start_server producer producer -v --linger=0.3 --block=64k file
producer=$pid
start victim consumer --window=100 --delay=5
victim=$pid
await "the victim" grep -q "process $victim of" producer.err
kill -STOP "$victim"
ended "a consumer that hangs" "$producer" 1
says "a consumer that hangs" producer.err "blocks did not come back"
kill -CONT "$victim"
ended "when it goes on" "$victim" "$(grep -q 'broke off' victim.err && echo 1 || echo 0)"

# --- the producer is killed ---

start_server producer producer -v --rate=10 --block=64k --repeat=0 file
producer=$pid
rm copy
start consumer consumer --hold=4 -o copy
consumer=$pid
await "it is served" test -s copy
kill -KILL "$producer"
ended "the producer is killed" "$consumer" 1
says "the producer is killed" consumer.err "the stream broke off"
start_server producer producer -v file
producer=$pid
run "the next producer takes over" 0 consumer
ended "the next producer" "$producer" 0

# --- output, signals, verification ---

start_server producer producer -v --wait-for=3 --rate=20 --block=64k --repeat=2 file
producer=$pid
start full consumer -o /dev/full
full=$pid
start closed bash -c 'to_true "$@"' - consumer -o -
closed=$pid
start interrupted consumer --delay=1
interrupted=$pid
ended "a full disk" "$full" 1
says "a full disk" full.err "write error: No space left on device"
ended "a reader that goes" "$closed" 1
says "a reader that goes" closed.err "write error: Broken pipe"
kill -INT "$interrupted"
ended "SIGINT ends a consumer" "$interrupted" 130
says "SIGINT: the summary" interrupted.err "blocks"
ended "nobody is left" "$producer" 1

start_server producer producer -v file
producer=$pid
run "a checksum that is not there" 1 consumer --verify
says "a checksum that is not there" err "cannot verify the stream: the producer was started without --checksum"
ended "a checksum that is not there: the producer" "$producer" 0

start_server producer producer -v --rate=10 --repeat=0 --block=64k file
producer=$pid
start consumer consumer
consumer=$pid
await "it is served" grep -q "process $consumer of" producer.err
kill -INT "$producer"
ended "SIGINT ends the producer" "$producer" 130
ended "SIGINT ends the producer: the consumer" "$consumer" 1

finish_examples stream-trouble
