#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the seeds of fuzz_frame: each hex block of doc/PROTOCOL.md becomes a file of its name.

Usage: fuzz/seeds.py doc/PROTOCOL.md fuzz/corpus/frame
"""
import pathlib
import re
import sys

document, corpus = map(pathlib.Path, sys.argv[1:3])
for name, body in re.findall(r"^```hex (\S+)\n(.*?)^```$", document.read_text(), re.M | re.S):
    # A line is: offset, bytes, a bar, a remark.
    frame = b"".join(bytes.fromhex(line.split("|")[0].strip().split(" ", 1)[1]) for line in body.splitlines())
    (corpus / name).write_bytes(frame)
