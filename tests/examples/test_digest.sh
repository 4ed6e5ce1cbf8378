#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# digest prints what sha256sum prints: for odd names, odd sizes, odd inputs, in the order of the arguments.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs digest digestd sha256sum

# as_sha256sum WHAT FILE...: both programs must print equal lines.
as_sha256sum() {
    local what=$1
    shift
    sha256sum "$@" >expected
    run "$what" 0 digest "$@"
    same "$what" expected out
}

start_server server digestd -v
server=$pid

# --- sizes: around the header, the page, and with small blocks the end of a block ---

mkdir sizes
for size in 0 1 63 64 65 4031 4032 4033 4095 4096 4097 8064 8065 1000000; do
    head -c "$size" /dev/urandom >"sizes/$size"
done
as_sha256sum "sizes" sizes/*
sha256sum sizes/* >expected
run "sizes, small blocks" 0 digest --block=4k sizes/*
same "sizes, small blocks" expected out
run "sizes, one call at a time" 0 digest -j 1 --block=4k sizes/*
same "sizes, one call at a time" expected out

# --- names ---

mkdir names
echo 1 >names/plain
echo 2 >'names/with blank'
echo 3 >$'names/new\nline'
echo 4 >$'names/carriage\rreturn'
echo 5 >'names/back\slash'
echo 6 >$'names/latin\xe9'
echo 7 >names/-
as_sha256sum "names" names/*
if sha256sum -c --quiet out >/dev/null; then passes; else fails "sha256sum -c refuses the names"; fi
as_sha256sum "a name that looks like an option" -- names/- ./names/plain

# --- order ---

head -c 20000000 /dev/urandom >large
as_sha256sum "a large file before small ones" large sizes/1 large sizes/64 large sizes/0

# --- standard input ---

sha256sum <large >expected
run "standard input, a file" 0 digest <large
same "standard input, a file" expected out
run "standard input by name" 0 digest - <large
same "standard input by name" expected out
head -c 5000000 large | run "standard input, a pipe" 0 digest
is "standard input, a pipe" "$(head -c 5000000 large | sha256sum)" "$(cat out)"
{
    head -c 100 large
    sleep 0.2
    tail -c +101 large
} | run "standard input, a slow pipe" 0 digest
same "standard input, a slow pipe" expected out
run "standard input, nothing" 0 digest </dev/null
is "standard input, nothing" "$(sha256sum </dev/null)" "$(cat out)"
{
    head -c 1000 >/dev/null
    run "standard input from the middle" 0 digest
} <sizes/1000000
is "standard input from the middle" "$(tail -c +1001 sizes/1000000 | sha256sum)" "$(cat out)"
sha256sum - large - <sizes/65 >expected
run "standard input twice" 0 digest - large - <sizes/65
same "standard input twice" expected out

# --- files with a wrong or unknown size ---

as_sha256sum "a file of /proc" /proc/version
mkfifo fifo
cat large >fifo &
pids+=($!)
run "a fifo" 0 digest fifo
is "a fifo" "$(sha256sum <large | sed 's/-$/fifo/')" "$(cat out)"

# The file is cut in the middle while it is read, and then lengthened: the digest belongs to some content, and no
# program breaks.
cp large changing
(
    for _ in $(seq 20); do
        truncate -s 1000000 changing
        head -c 3000000 /dev/zero >>changing
    done
) &
pids+=($!)
run "a changing file" 0 digest --block=64k changing changing changing
is "a changing file: lines" 3 "$(grep -c '  changing$' out)"
wait $!

# --- directories ---

mkdir -p tree/b/deep/er tree/a tree/empty
for i in $(seq 300); do
    echo "$i" >"tree/a/f$i"
done
echo x >tree/b/deep/er/x
echo y >tree/b/y
echo z >tree/a.file
ln -s ../b tree/a/link
ln -s x tree/b/deep/er/link
mkfifo tree/a/fifo
run "a directory" 0 digest -r tree
find tree -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sort >expected
sort out >sorted
same "a directory" expected sorted
cut -c 67- out >names-out
is "order within a directory" "$(grep '^tree/a/' names-out | LC_ALL=C sort)" "$(grep '^tree/a/' names-out)"
is "order of the whole" "tree/a/f1 tree/b/y" "$(sed -n '1p;$p' names-out | tr '\n' ' ' | sed 's/ $//')"
run "a directory with a slash" 0 digest -r tree/b/
is "a directory with a slash" "tree/b/deep/er/x tree/b/y" "$(cut -c 67- out | tr '\n' ' ' | sed 's/ $//')"
run "an empty directory" 0 digest -r tree/empty
is "an empty directory" "" "$(cat out)"

# --- names from a file ---

find names sizes -type f -print0 >list
xargs -0 sha256sum <list >expected
run "--files0-from" 0 digest --files0-from=list
same "--files0-from" expected out
run "-0" 0 digest -0 <list
same "-0" expected out
printf 'sizes/1\0\0sizes/64' >list
run "an empty name in the list" 1 digest -0 <list
is "an empty name in the list: the others" 2 "$(grep -c sizes/ out)"
run "a list that is missing" 1 digest --files0-from=nowhere
says "a list that is missing" err "nowhere: No such file or directory"

# --- the summary comes from the library's figures ---

run "a summary" 0 digest --summary large sizes/*
is "files" 15 "$(field files err)"
is "bytes" "$(cat large sizes/* | wc -c)" "$(field bytes err)"
is "bytes copied" 0 "$(field 'bytes copied' err)"
if grep -q $'[\r\033]' err; then fails "progress in a pipe"; else passes; fi

# --- progress, on a terminal only ---

if command -v script >/dev/null; then
    run "on a terminal" 0 script -qec 'digest large large large' typescript
    says "on a terminal" out "MB/s"
    says "on a terminal: the results" out "$(sha256sum large)"
    run "on a terminal, quiet" 0 script -qec 'digest -q large large large' typescript
    if grep -q 'MB/s' out; then fails "on a terminal, quiet: progress"; else passes; fi
else
    skips "progress: there is no script"
fi

stop "the server" "$server"

# --- a listening socket that is inherited, as from systemd ---

if command -v python3 >/dev/null; then
    start server python3 -c '
import os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind("inherited")
s.listen()
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.execvp("digestd", ["digestd", "-v", "-a", "fd:3"])'
    server=$pid
    await "the server with an inherited socket" grep -q 'listening at' server.err
    run "an inherited socket" 0 digest -a "unix:$work/inherited" large
    is "an inherited socket" "$(sha256sum large)" "$(cat out)"
    stop "the server with an inherited socket" "$server"
else
    skips "an inherited socket: there is no python3"
fi
finish_examples digest
