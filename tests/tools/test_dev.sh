#!/bin/sh
# SPDX-License-Identifier: MIT
#
# ./dev on machines that lack tools: the commands that check install nothing, name the missing tools and the way to get
# them, and fail only for what they need; `setup` says its list first. The machines are folders of links, with an
# apt-get that writes down how it was called. Environment, from the Makefile: srcdir.

set -u
. "${srcdir:?}/tests/tools/tally.sh"

if ! command -v bash >/dev/null || [ ! -e "$srcdir/dev" ]; then
    skips "there is no bash, or no ./dev"
    finish dev
    exit
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"
cp "$srcdir/dev" "$work/tree/dev"

# A machine with the tools that any system has.
machine() {
    rm -rf "${work:?}/bin" "$work/called"
    mkdir "$work/bin"
    for tool in awk bash cat chmod dirname env find grep head id mkdir mktemp nproc rm sed sort tail; do
        path=$(command -v "$tool") && ln -s "$path" "$work/bin/$tool"
    done
}

# stub TOOL LINE...: a program of these lines.
stub() {
    tool=$work/bin/$1
    shift
    rm -f "$tool"
    printf '#!/bin/sh\n' >"$tool"
    printf '%s\n' "$@" >>"$tool"
    chmod +x "$tool"
}

with_apt() {
    stub apt-get "echo \"apt-get \$*\" >>'$work/called'" "exit ${1-0}"
    stub id 'echo 0'
}

dev() {
    PATH=$work/bin "$work/bin/bash" "$work/tree/dev" "$@" </dev/null
}

nothing_was_installed() {
    test ! -e "$work/called"
}

machine
with_apt
for command in check asan lint model "fuzz 1" coverage distcheck; do
    # shellcheck disable=SC2086 # words
    must_refuse "$command without a compiler" "Nothing works without: gcc" dev $command
done
must_refuse "it says how to get one" "To install them: ./dev setup test" dev check
must "no command has installed anything" nothing_was_installed
must_refuse "formatting without clang-format" "Missing here, by Debian's names: clang-format" dev format
must "nor has that" nothing_was_installed

must_refuse "setup says what it installs" "to be installed now: gcc make autoconf automake libtool pkg-config" \
    dev setup build
must "it asks for that" grep -q "^apt-get .* install gcc make autoconf automake libtool pkg-config" "$work/called"
must_refuse "it looks whether it is there then" "Still missing: gcc" dev setup build
with_apt 1
must_refuse "a test whose set-up fails" "Nothing works without: gcc" dev test
must "it has tried" test -e "$work/called"
must_refuse "an unknown purpose" "./dev setup knows no tests" dev setup tests
must_refuse "an unknown option" "./dev test knows no --fast" dev test --fast

machine
must_refuse "not Debian" "There is no apt-get here" dev setup build
machine
stub apt-get 'exit 0'
stub id 'echo 1000'
must_refuse "neither root nor sudo" "Without root and sudo nothing can be installed" dev setup build

# All that a build needs, from elsewhere, but neither libuv nor libcrypto.
machine
for tool in gcc make autoreconf automake libtoolize; do
    stub "$tool" 'exit 0'
done
# shellcheck disable=SC2016 # expanded by the stub
stub pkg-config 'case "$*" in *check*) exit 0 ;; *) exit 1 ;; esac'
stub python3 'exit 0'
must_refuse "a build without optional libraries names them" "Missing here, by Debian's names: libuv1-dev libssl-dev" \
    dev check
case $output in
*"Nothing works without"*) fails "optional libraries are demanded: $output" ;;
*) passes ;;
esac

finish dev
