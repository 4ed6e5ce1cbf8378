#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tools/check-documents: documents and comments that name only things of their tree pass; each planted name that does
# not exist is refused. Environment, from the Makefile: srcdir, PYTHON3 (may be empty).

set -u
. "${srcdir:?}/tests/tools/tally.sh"

if [ -z "$PYTHON3" ]; then
    skips "there is no python3"
    finish documents
    exit
fi

check() {
    "$PYTHON3" "$srcdir/tools/check-documents" "$work"
}

# page LINE: the README with one more line.
page() {
    printf '%s\n' '# Title' '' '## A heading' '' "$1" >"$work/README.md"
}

# accepts WHAT LINE, and refuses WHAT LINE WORDS
accepts() {
    page "$2"
    must "$1" check
}

refuses() {
    page "$2"
    must_refuse "$1" "$3" check
}

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/include/sealane" "$work/transport/lane" "$work/doc"
echo 'int sea_call(void); enum { SEA_LIMIT = 1 };' >"$work/include/sealane/conn.h"
echo 'int lane_send(int is_open); /* formerly lane_push */' >"$work/transport/lane/send.c"
printf '%s\n' '  check        run the tests' >"$work/dev"
printf '%s\n' '# Architecture' '' '## The modules' '' '    lane      send   outgoing frames' '' '## Words' \
    >"$work/doc/architecture.md"

accepts "names that exist" "Call \`sea_call()\` up to SEA_LIMIT; \`lane_send()\` of \`lane/send\` looks at \`is_open\`."
accepts "files, verbs and links that exist" \
    "Run ./dev check; see include/sealane/conn.h, [modules](doc/architecture.md#the-modules), [here](#a-heading)."
refuses "a public function" "Call \`sea_cal()\`." "README.md:5: sea_cal: no public header"
refuses "a public constant" "At most SEA_LIMITS." "SEA_LIMITS: no public header"
refuses "an internal function" "It calls \`lane_sends()\`." "lane_sends: no source file"
refuses "an internal name" "It looks at \`is_opened\`." "is_opened: no source file"
refuses "a function of a comment alone" "It calls \`lane_push()\`." "lane_push: no code has this function"
accepts "files by their names" "See \`send.c\` and \`lane/send.c\`."
refuses "a file by its name" "See \`sent.c\`." "README.md:5: sent.c: there is no such file"
refuses "a file in another folder" "See \`rpc/send.c\`." "rpc/send.c: there is no such file"
refuses "a file" "See include/sealane/con.h." "include/sealane/con.h: there is no such file"
refuses "a module" "See \`lane/sent\`." "lane/sent: the library has no such module"
refuses "a verb" "Run ./dev chek." "./dev chek: dev has no such verb"
refuses "a link to a file" "See [it](doc/architect.md)." "doc/architect.md: there is no such file"
refuses "a link to a heading" "See [it](doc/architecture.md#the-module)." \
    "#the-module: architecture.md has no such heading"

page "Nothing."

# comments TEXT: a file with that comment on its second line.
comments() {
    printf '/* A module. */\n/* %s */\n' "$1" >"$work/transport/lane/lane.h"
}
sed -i 's/    lane      send/    lane      lane  send/' "$work/doc/architecture.md"
comments "Calls lane_send(), see send.c and lane/send.c."
must "names in comments" check
comments "Calls lane_pull()."
must_refuse "a function in a comment" "transport/lane/lane.h:2: lane_pull: no code has this function" check
comments "See lane/pull.c."
must_refuse "a file in a comment" "transport/lane/lane.h:2: lane/pull.c: there is no such file" check
rm "$work/transport/lane/lane.h"

: >"$work/transport/lane/receive.c"
must_refuse "a module that the diagram lacks" "transport/lane/receive: the diagram of the modules" check

finish documents
