#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The programs that sealane(7) shows, hello_server and hello_client; and the programs of the README, thumbnail_server
# and thumbnail_client.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs hello_server hello_client thumbnail_server thumbnail_client

run "no server" 1 hello_client
says "no server" err "hello_client: No such file or directory (hello: "

start server hello_server
server=$pid
await "the server" test -S "$XDG_RUNTIME_DIR/sealane/hello"
run "a greeting" 0 hello_client Ada
is "a greeting" "Hello, Ada!" "$(cat out)"
run "a greeting without a name" 0 hello_client
is "a greeting without a name" "Hello, world!" "$(cat out)"
run "an empty name" 0 hello_client ""
is "an empty name" "Hello, !" "$(cat out)"
name=$(printf '%0100000d' 7)
run "a long name" 0 hello_client "$name"
is "a long name" "Hello, $name!" "$(cat out)"

run "a second server" 1 hello_server
says "a second server" err "Address already in use (hello: a server is running there"

kill -KILL "$server"
ended "the killed server" "$server" 137
start server hello_server
await "the next server takes over" hello_client
kill -KILL "$pid"
ended "the next server" "$pid" 137
rm -f "$XDG_RUNTIME_DIR/sealane/hello" # what a killed server leaves for the next one

# --- a payload of 16 MiB, and its thumbnail of 256 KiB ---

run "no thumbnail server" 1 thumbnail_client
says "no thumbnail server" err "thumbnail_client: No such file or directory (thumbnails: "
start server thumbnail_server
await "the thumbnail server" test -S "$XDG_RUNTIME_DIR/sealane/thumbnails"
run "a thumbnail" 0 thumbnail_client
is "a thumbnail" "262144 pixels, mean 127.5" "$(cat out)"
kill -KILL "$pid"
ended "the thumbnail server" "$pid" 137
rm -f "$XDG_RUNTIME_DIR/sealane/thumbnails"

# --- sealane(7) shows the hello programs as they are ---

page=$tests_dir/../../doc/man/sealane.7
for program in hello_server hello_client; do
    source=$tests_dir/../../examples/$program.c
    sed -n '/^\.Bd -literal/,/^\.Ed/p' "$page" | sed 's/^\\&//; s/\\e/\\/g' | grep -v '^\.[BE]d' >shown
    if [[ $(<shown) == *"$(<"$source")"* ]]; then passes; else fails "sealane.7 shows another $program.c"; fi
done

finish_examples hello
