#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Large amounts: 20 000 files in a directory, and one file of 4 GiB (SEALANE_LARGE_FILE sets another size, in bytes,
# rounded down to 64 MiB). Afterwards the server holds no more than before.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs digest digestd sha256sum
patience=$((patience * 10))
large=${SEALANE_LARGE_FILE:-$((4 << 30))}

# holdings PID: prints the descriptors, mappings of blocks, and shared memory of a process.
holdings() {
    local fds
    fds=(/proc/"$1"/fd/*)
    echo "${#fds[@]} fds, $(grep -c memfd: "/proc/$1/maps") mappings, $(grep RssShmem "/proc/$1/status")"
}

start_server server digestd -v
server=$pid
echo x >small
run "a small file" 0 digest small # makes the memory that the first client needs
await "it is gone" grep -q ' left: ' server.err
before=$(holdings "$server")

# In memory if possible: removing the files from a disk may take a minute.
elsewhere=$(mktemp -d -p /dev/shm 2>/dev/null) || elsewhere=$(mktemp -d) || exit 1
seq 20000 | split -l 1 -a 4 - "$elsewhere/"
run "20 000 files" 0 digest -r --summary "$elsewhere"
is "20 000 files" 20000 "$(wc -l <out)"
is "20 000 files: bytes copied" 0 "$(field 'bytes copied' err)"
if sha256sum -c --quiet out; then passes; else fails "sha256sum disagrees about the 20 000 files"; fi

free=$(df --output=avail -B1 . | tail -n 1)
if [ "$free" -lt $((large + (1 << 30))) ]; then
    skips "a file of $large bytes: only $free are free"
else
    head -c $((64 << 20)) /dev/urandom >part
    expected=$(for _ in $(seq $((large >> 26))); do cat part; done | tee large | sha256sum)
    run "a large file" 0 digest --summary large
    is "a large file" "${expected%-}large" "$(cat out)"
    is "a large file: bytes" "$((large >> 26 << 26))" "$(field bytes err)"
    is "a large file: bytes copied" 0 "$(field 'bytes copied' err)"
    rm large
fi

await "all clients are gone" test "$(grep -c ' left: ' server.err)" -eq "$(grep -c ' connected' server.err)"
is "what the server holds" "$before" "$(holdings "$server")"
stop "the server" "$server"
finish_examples many
