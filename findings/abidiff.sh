#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Which changes of a C interface abidiff reports, when it compares two unstripped shared libraries.
#
# Guessed: abidiff exits with 0 only when a program that was built against the old headers still works; and
# `--headers-dir1 DIR` takes the types as public that a header below DIR declares.
# Seen, with abigail-tools 2.2-2 (Debian 12) and gcc 12:
#
#   change                                                                     exit status
#   two parameters, a void pointer and a char pointer, are swapped             0
#   an enumeration and an int, both parameters, are swapped                    0
#   `const` is removed from a pointer parameter: the function writes now       0
#   a constant of an anonymous enumeration has another value                   0
#   a constant of a named enumeration has another value                        4
#   an int and an unsigned, both parameters, are swapped                       4
#   a private structure grows; its header has a name of its own                0
#   a private structure grows; its header is called like a public one          4
#
# So --headers-dir compares the last parts of the paths alone: a project whose include/NAME/conn.h hides a structure
# that src/conn.h defines is told of each private change. And a status of 0 says nothing about void pointers,
# about `const`, and about constants outside of named enumerations: something else has to compare these.
#
# Installs nothing on this machine: the packages are unpacked in a temporary directory. Needs apt-get and gcc.
# Exit status 0: all is as said above. 77: it could not be tried. 1: something is different.

set -euo pipefail

versions=(abigail-tools=2.2-2 libabigail0=2.2-2)

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"

command -v gcc >/dev/null || { echo "SKIP: there is no gcc" && exit 77; }
for package in "${versions[@]}" libdw1 libelf1 libxml2 libicu72; do
    apt-get -q -q -o APT::Sandbox::User=root download "$package" >/dev/null 2>&1 ||
        { echo "SKIP: $package cannot be downloaded" && exit 77; }
done
for package in ./*.deb; do
    dpkg-deb -x "$package" unpacked
done
LD_LIBRARY_PATH=$(find "$place/unpacked" -name '*.so.*' -printf '%h\n' | sort -u | paste -s -d:)
export LD_LIBRARY_PATH

result=0

# library DIRECTORY HEADER DECLARATIONS CODE: builds DIRECTORY/lib.so. The private header is called HEADER.
library() {
    mkdir -p "$1/include" "$1/private"
    printf '%s\n' "$3" >"$1/include/public.h"
    printf '%s\n' "struct hidden { int first; $5 };" >"$1/private/$2"
    printf '#include "include/public.h"\n#include "private/%s"\n%s\n' "$2" "$4" >"$1/code.c"
    (cd "$1" && LD_LIBRARY_PATH='' gcc -g -O1 -shared -fPIC code.c -o lib.so)
}

# compare STATUS WHAT: runs abidiff on before/lib.so and after/lib.so, and says whether the status is that one.
compare() {
    local status=0
    unpacked/usr/bin/abidiff --headers-dir1 before/include --headers-dir2 after/include \
        before/lib.so after/lib.so >report 2>&1 || status=$?
    printf '%s  %s\n' "$status" "$2"
    [ "$status" -eq "$1" ] || { printf '   DIFFERENT: it was %s\n' "$1" && cat report && result=1; }
}

# changed STATUS WHAT OLD-DECLARATIONS OLD-CODE NEW-DECLARATIONS NEW-CODE
changed() {
    rm -rf before after
    library before private.h "$3" "$4" ""
    library after private.h "$5" "$6" ""
    compare "$1" "$2"
}

changed 0 "a void pointer and a char pointer are swapped" \
    'int f(const char *a, void *b);' 'int f(const char *a, void *b) { return *a + (b != 0); }' \
    'int f(void *b, const char *a);' 'int f(void *b, const char *a) { return *a + (b != 0); }'
changed 0 "an enumeration and an int are swapped" \
    'enum e { A, B }; int f(enum e a, int b);' 'int f(enum e a, int b) { return (int) a - b; }' \
    'enum e { A, B }; int f(int b, enum e a);' 'int f(int b, enum e a) { return (int) a - b; }'
changed 0 "const is removed from a pointer parameter" \
    'struct s { int n; }; int f(const struct s *s);' 'int f(const struct s *s) { return s->n; }' \
    'struct s { int n; }; int f(struct s *s);' 'int f(struct s *s) { return s->n++; }'
changed 0 "a constant of an anonymous enumeration has another value" \
    'enum { LIMIT = 1 }; int f(int n);' 'int f(int n) { return n > LIMIT; }' \
    'enum { LIMIT = 5 }; int f(int n);' 'int f(int n) { return n > LIMIT; }'
changed 4 "a constant of a named enumeration has another value" \
    'enum e { A = 1 }; int f(enum e n);' 'int f(enum e n) { return n == A; }' \
    'enum e { A = 5 }; int f(enum e n);' 'int f(enum e n) { return n == A; }'
changed 4 "an int and an unsigned are swapped" \
    'int f(int a, unsigned b);' 'int f(int a, unsigned b) { return a - (int) b; }' \
    'int f(unsigned b, int a);' 'int f(unsigned b, int a) { return a - (int) b; }'

for name in private.h public.h; do
    rm -rf before after
    for side in before after; do
        library "$side" "$name" 'struct hidden; int f(struct hidden *h);' \
            'int f(struct hidden *h) { return h->first; }' \
            "$([ "$side" = before ] || echo 'int more;')"
    done
    if [ "$name" = private.h ]; then
        compare 0 "a private structure grows; its header has a name of its own"
    else
        compare 4 "a private structure grows; its header is called like a public one"
    fi
done
exit "$result"
