#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# digest and digestd in case of errors: a clear message, the right status, and no hang.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs digest digestd sha256sum

head -c 3000000 /dev/urandom >file

# --- arguments ---

for bad in --nonsense --jobs=0 --jobs=257 --jobs=x --jobs= --jobs=-1 --block=1 --block=5x --block=99999999999999999999 \
    --timeout=x --timeout=-1 --address; do
    run "digest $bad" 2 digest "$bad"
    says "digest $bad" err "Try 'digest --help'."
done
for bad in --nonsense --jobs=0 --max-block=0 --max-bytes=x --max-connections=0 unexpected; do
    run "digestd $bad" 2 digestd "$bad"
    says "digestd $bad" err "Try 'digestd --help'."
done
run "names twice" 2 digest -0 file
for program in digest digestd; do
    run "$program --help" 0 "$program" --help
    says "$program --help" out "usage: $program"
    run "$program --version" 0 "$program" --version
    says "$program --version" out "$program (Sealane) "
    run "$program --help >/dev/full" 2 sh -c "$program --help >/dev/full"
done

# --- no server ---

run "server away" 2 digest file
says "server away" err "no server at 'digest'; start one with: digestd"
run "server away, other address" 2 digest -a unix:@sealane-nobody-$$ file
says "server away, other address" err "digestd -a unix:@sealane-nobody-$$"
run "an address that cannot be" 2 digest -a unix:relative/path file
run "a server at an address that cannot be" 2 digestd -a ../x
run "a server in a directory that is missing" 2 digestd -a "unix:$work/nowhere/socket"

# --- files ---

start_server server digestd -v
server=$pid
sha256sum file file >expected
run "missing files" 1 digest file nowhere file also-nowhere
same "missing files: the others" expected out
says "missing files" err "digest: nowhere: No such file or directory"
says "missing files" err "digest: also-nowhere: No such file or directory"
run "a directory" 1 digest . file
says "a directory" err "digest: .: Is a directory"
run "a missing directory" 1 digest -r nowhere
says "a missing directory" err "digest: nowhere: No such file or directory"
name=$'no\nsuch\033[31mfile'
run "a name with control characters" 1 digest "$name"
says "a name with control characters" err "digest: no?such?[31mfile: No such file or directory"

# --- output ---

run "a full disk" 2 sh -c 'digest file >/dev/full'
says "a full disk" err "write error: No space left on device"
run "closed output" 2 sh -c 'digest file >&-'
says "closed output" err "write error: Bad file descriptor"
run "closed input" 1 sh -c 'digest <&-'
run "all closed" 2 sh -c 'digest file <&- >&- 2>&-'
mkdir many
for i in $(seq 500); do
    echo "$i" >"many/$i"
done
run "a reader that goes" 2 bash -c 'to_true "$@"' - digest -r many many many many many many many
says "a reader that goes" err "write error: Broken pipe"

# --- a client that lies ---

liar=$build/tests/examples/lying_digest
if [ -x "$liar" ]; then
    run "a client that lies" 0 "$liar" digest
    run "and another one" 0 "$liar" digest
    run "an honest one after it" 0 digest file file
    same "an honest one after it" expected out
else
    skips "a client that lies: tests/examples/lying_digest was not built"
fi

# --- two servers; a server killed ---

run "a second server" 2 digestd
says "a second server" err "there is a server at 'digest' already"
run "the first one serves on" 0 digest file

# A call is certainly in flight: the server is stopped before the input ends.
mkfifo input
exec 3<>input
start client digest <input
client=$pid
head -c 100000 file >&3
await "the client is connected" grep -q "process $client of" server.err
kill -STOP "$server"
exec 3>&-
sleep 0.2
kill -KILL "$server"
ended "killed in mid-call: the client" "$client" 2
says "killed in mid-call" client.err "digest: lost the server at 'digest'"
ended "the killed server" "$server" 137

start_server server digestd -v
server=$pid
run "the next server takes over" 0 digest file

# The client notices, too, while it waits for its input.
exec 3<>input
start client digest <input
client=$pid
await "the client is connected" grep -q "process $client of" server.err
stop "the server with an idle client" "$server"
ended "the server ends: the idle client" "$client" 2
exec 3>&-

# --- a server that does not answer ---

start_server server digestd -v
server=$pid
exec 3<>input
start client digest --timeout=0.5 <input
client=$pid
await "the client is connected" grep -q "process $client of" server.err
kill -STOP "$server"
head -c 1000 file >&3
exec 3>&-
ended "no answer in time" "$client" 1
says "no answer in time" client.err "no answer in time"
kill -CONT "$server"
run "the server serves on" 0 digest file

# --- signals ---

exec 3<>input
start client digest <input
client=$pid
await "the client is connected" grep -q "process $client of" server.err
kill -INT "$client"
ended "SIGINT ends the client" "$client" 130
exec 3>&-
await "the server sees it go" grep -q "process $client left" server.err
run "the server serves on after that" 0 digest file
kill -INT "$server"
ended "SIGINT ends the server" "$server" 0
says "the summary" server.err "files"

# --- limits ---

start_server server digestd -v --max-block=1M
server=$pid
run "too large a block" 1 digest file
says "too large a block" err "the server takes no blocks of this size: see --block"
run "smaller blocks" 0 digest --block=1M file
stop "the server with --max-block" "$server"

start_server server digestd -v --max-bytes=2M
server=$pid
run "more than the server holds at a time" 0 digest --block=1M file file file
same "more than the server holds at a time" <(sha256sum file file file) out
stop "the server with --max-bytes" "$server"

start_server server digestd -v --max-connections=1
server=$pid
exec 3<>input
start client digest <input
client=$pid
await "the client is connected" grep -q "process $client of" server.err
run "a client too many" 2 digest file
says "a client too many" err "the server has as many connections as it takes"
exec 3>&-
ended "the only client" "$client" 0
run "the next client" 0 digest file
stop "the server with --max-connections" "$server"

# --- other addresses ---

for address in "unix:$work/socket" "unix:@sealane-test-$$" other; do
    start_server server digestd -v -a "$address"
    server=$pid
    run "at $address" 0 digest -a "$address" file
    stop "the server at $address" "$server"
done

finish_examples digest-trouble
