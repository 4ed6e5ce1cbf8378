#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the seeds of the fuzz targets: each hex block of doc/PROTOCOL.md becomes a file with its name in
fuzz/corpus/frame, each line block one in fuzz/corpus/line.

Usage: fuzz/seeds.py doc/PROTOCOL.md fuzz/corpus
"""
import pathlib
import re
import sys

document, corpus = map(pathlib.Path, sys.argv[1:3])
for kind, name, body in re.findall(r"^```(hex|line) (\S+)\n(.*?)^```$", document.read_text(), re.M | re.S):
    # A line is: offset, bytes, a bar, a remark.
    frame = b"".join(bytes.fromhex(line.split("|")[0].strip().split(" ", 1)[1]) for line in body.splitlines())
    folder = corpus / {"hex": "frame", "line": "line"}[kind]
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(frame)
