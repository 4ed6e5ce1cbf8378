#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The seeds of fuzz_conn: one file, fuzz/corpus/conn.hex, with an input in each line; the fuzzer needs a folder of
files.

Usage: fuzz/seeds_conn.py unpack fuzz/corpus/conn.hex FOLDER
       fuzz/seeds_conn.py pack FOLDER fuzz/corpus/conn.hex

`pack` takes a folder that was minimized before: fuzz_conn -merge=1 -set_cover_merge=1 -use_counters=0 FOLDER ...
"""
import hashlib
import pathlib
import sys


def unpack(source, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for line in source.read_text().splitlines():
        seed = bytes.fromhex(line)
        (folder / hashlib.sha1(seed).hexdigest()).write_bytes(seed)


def pack(folder, target):
    seeds = sorted(path.read_bytes().hex() for path in folder.iterdir())
    target.write_text("".join(f"{seed}\n" for seed in seeds if seed))


{"unpack": unpack, "pack": pack}[sys.argv[1]](*map(pathlib.Path, sys.argv[2:4]))
