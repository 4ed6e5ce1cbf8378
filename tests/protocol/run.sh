#!/bin/sh
# SPDX-License-Identifier: MIT
#
# doc/PROTOCOL.md is enough to write a client: a Python client, written from this document alone, calls a Sealane
# server, with and without rings. Environment, from the Makefile: srcdir, builddir, PYTHON3 (may be empty). ECHO_SERVER
# names another server program.

set -u
. "${srcdir:?}/tests/tools/tally.sh"

python=${PYTHON3-python3}
if [ -z "$python" ] || ! "$python" -c 'import os; os.memfd_create, __import__("fcntl").F_ADD_SEALS' 2>/dev/null; then
    skips "there is no python3 that knows memfd_create and seals (3.9)"
    finish protocol
    exit 77
fi

directory=$(mktemp -d) || exit 99
server=
end() {
    [ -z "$server" ] || kill -CONT "$server" 2>/dev/null # calls.py may have ended while it was stopped
    [ -z "$server" ] || kill "$server" 2>/dev/null
    rm -rf "$directory"
}
trap end EXIT
trap 'exit 99' HUP INT TERM

"${ECHO_SERVER:-${builddir:-.}/tests/protocol/echo_server}" "unix:$directory/echo" >"$directory/said" &
server=$!
until [ -s "$directory/said" ]; do
    if ! kill -0 "$server" 2>/dev/null; then
        server=
        fails "the server ended before it was ready"
        finish protocol
        exit 1
    fi
    sleep 0.1
done

"$python" -B -u -X dev "$srcdir/tests/protocol/calls.py" "$directory/echo" >"$directory/found" 2>&1
status=$?
cat "$directory/found"
while IFS= read -r line; do
    case $line in
    'ok: '*) passes ;;
    'skip: '*) skips "${line#skip: }" ;;
    esac
done <"$directory/found"
[ "$status" -eq 0 ] || fails "the client ended with $status"

kill -CONT "$server"
kill "$server"
wait "$server"
status=$?
server=
if [ "$status" -eq 0 ]; then passes; else fails "the server ended with $status"; fi
if [ -e "$directory/echo" ]; then fails "the server left its socket file"; else passes; fi

finish protocol
