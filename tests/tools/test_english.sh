#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tools/check-english: the test plants headless words and long lines in a small tree. It does not check this tree, which
# `./dev english` does. Environment, from the Makefile: srcdir, PYTHON3 (may be empty).

set -u
. "${srcdir:?}/tests/tools/tally.sh"

if [ -z "$PYTHON3" ]; then
    skips "there is no python3"
    finish english
    exit
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

check() {
    "$PYTHON3" -B "$srcdir/tools/check-english" "$work/tree"
}

# words COUNT: that many words, with a headless one in every tenth place if $headless is set.
headless=
words() {
    awk -v count="$1" -v headless="$headless" 'BEGIN {
        for (i = 1; i <= count; i++) printf "%s%s", headless && i % 10 == 0 ? headless : "word", i % 10 ? " " : "\n" }'
}

fresh() {
    rm -rf "$work/tree"
    mkdir -p "$work/tree/transport" "$work/tree/build"
    printf '[*]\nmax_line_length = 120\n[*.txt.md]\nmax_line_length = off\n' >"$work/tree/.editorconfig"
    words 20000 >"$work/tree/README.md"
}

# plant FILE OPENING PREFIX CLOSING: 200 words, 20 of them headless, as a comment of that kind; the check must name the
# file.
plant() {
    fresh
    headless="who"
    { printf '%s\n' "$2" && words 200 | sed "s|^|$3|" && printf '%s\n' "$4"; } >"$work/tree/$1"
    headless=
    must_refuse "headless words in $1" "$1: 20 headless words in 2" check
}

fresh
must "a tree without headless words" check

plant transport/pool.c '/*' ' * ' ' */'
plant transport/line.h '' '// ' ''
plant run.sh '#!/bin/sh' '# ' ''
plant tool '#!/usr/bin/env python3' '# ' ''
plant tool.py '"""' '' '"""'
plant local.mk '' '# ' ''
plant page.7 '' '' ''
plant page.md '' '' ''
plant NEWS '' '' ''

fresh
headless="who"
{ printf 'char text[] = "\\\n' && words 200 | sed 's/$/\\/' && printf '";\n'; } >"$work/tree/transport/text.c"
must "headless words in a string of C" check
{ printf '```\n' && words 200 && printf '```\n'; } >"$work/tree/code.md"
must "headless words in a code block" check
words 150 >"$work/tree/short.md"
must "a file of 150 words" check
words 200 >"$work/tree/build/made.md"
must "a file that the build made" check

fresh
headless=
words 1000 >"$work/tree/README.md"
headless="who"
for i in 1 2 3 4 5 6 7; do
    words 100 >"$work/tree/page$i.md"
done
must_refuse "too many in all files together" "all files: 41.18 headless words of 1,000: more than 5" check
headless=

# columns COUNT: a line of COUNT columns that begins with a character of two bytes.
columns() {
    printf 'é%*s\n' "$(($1 - 1))" '' | tr ' ' x
}

fresh
columns 120 >"$work/tree/page.md"
must "a line of 120 characters, one of two bytes" check
columns 121 >>"$work/tree/page.md"
must_refuse "a line of 121 characters" "page.md:2: 121 columns, more than 120" check
fresh
columns 121 >"$work/tree/table.txt.md"
must "a line of a file that .editorconfig exempts" check
fresh
printf 'int a;\nint %0120d;\n' 0 >"$work/tree/transport/a.c"
must_refuse "a line of code" "transport/a.c:2: 125 columns" check

finish english
