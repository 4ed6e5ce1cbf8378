#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# strace proves that, for a file of 64 MiB, neither digest nor digestd reads the payload into user memory.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs digest digestd sha256sum strace
if ! strace -o trace true 2>err; then
    skips "strace cannot trace here: $(head -c 200 err)"
    finish examples-no-copy
    exit
fi
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 # its leak check cannot run under strace

# Every system call that brings bytes into user memory; the script adds up their bytes. Programs read less than 1 MiB
# while they are loaded.
calls=read,pread64,readv,preadv,preadv2,recvfrom,recvmsg,recvmmsg
bytes_read() {
    sed -n 's/.* = \([0-9][0-9]*\)$/\1/p' "$1" | awk '{ sum += $1 } END { print sum + 0 }'
}

head -c $((64 << 20)) /dev/urandom >file
start_server server strace -f -qq -o server.trace -e trace="$calls" digestd -v
tracer=$pid
run "64 MiB" 0 strace -f -qq -o client.trace -e trace="$calls" digest --summary file
is "64 MiB" "$(sha256sum file)" "$(cat out)"
is "bytes copied" 0 "$(field 'bytes copied' err)"

for side in client server; do
    read_bytes=$(bytes_read "$side.trace")
    more "$side: strace saw something" 1 "$read_bytes"
    if [ "$read_bytes" -lt $((1 << 20)) ]; then
        passes
    else
        fails "$side: $read_bytes bytes went into user memory"
    fi
done

server=$(cut -d' ' -f1 server.trace | head -n 1)
kill -TERM "$server"
ended "the server" "$tracer" 0
finish_examples no-copy
