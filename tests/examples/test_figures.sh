#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The example that prints all figures without naming one: its JSON is JSON, and its other text is OpenMetrics.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs figures hello_server

run "no format" 2 figures
run "an unknown format" 2 figures xml
run "no server" 1 figures json hello

start server hello_server
server=$pid
await "the server" test -S "$XDG_RUNTIME_DIR/sealane/hello"

run "JSON" 0 figures json hello
is "JSON" "context connection pool 1 1" "$(python3 -c '
import json, sys
figures = json.load(sys.stdin)
print(*figures, figures["context"]["connections"], figures["connection"]["accepts_pooled"])' <out)"

run "OpenMetrics" 0 figures openmetrics hello
is "OpenMetrics" "good" "$(python3 -c '
import re, sys
lines = sys.stdin.read().split("\n")
assert lines[-2:] == ["# EOF", ""], lines[-2:]
families = {}
for line in lines[:-2]:
    head = re.fullmatch(r"# (TYPE|UNIT|HELP) ([a-z][a-z0-9_]*) (.+)", line)
    if head:
        families.setdefault(head[2], {})[head[1]] = head[3]
        continue
    name, total, value = re.fullmatch(r"([a-z][a-z0-9_]*?)(_total)? ([0-9]+)", line).groups()
    family = families[name]
    assert family["TYPE"] == ("counter" if total else "gauge"), name
    assert name.endswith("_" + family["UNIT"]) if "UNIT" in family else True, name
    assert family["HELP"].endswith("."), name
assert len(families) > 80, len(families)
print("good")' <out)"

run "the context alone" 0 figures openmetrics
is "the context alone" 0 "$(grep -c sealane_pool out)"

kill -KILL "$server"
ended "the server" "$server" 137
rm -f "$XDG_RUNTIME_DIR/sealane/hello" # a killed server leaves it for the next one
finish_examples figures
