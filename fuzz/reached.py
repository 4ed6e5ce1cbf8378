#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints which functions of the library a fuzz corpus reaches, layer by layer.

Usage: fuzz/reached.py OBJECT PROFILE [LEAST]

OBJECT is a program that was built with -fprofile-instr-generate -fcoverage-mapping, PROFILE is the merged output of
llvm-profdata. The layers wire, registry, lane and rpc count: a connection's bytes can reach these. Exits with 1 below
LEAST percent of their functions.
"""
import collections
import json
import pathlib
import subprocess
import sys

LAYERS = ["wire", "registry", "lane", "rpc"]


def functions(program, profile):
    """(layer, file, function) and the number of its entries; inline functions of headers count once."""
    text = subprocess.run(["llvm-cov", "export", program, f"-instr-profile={profile}", "-skip-expansions"],
                          check=True, capture_output=True, text=True).stdout
    entered = collections.Counter()
    for function in json.loads(text)["data"][0]["functions"]:
        path = pathlib.PurePath(function["filenames"][0])
        if "transport" not in path.parts:
            continue
        layer = path.parts[path.parts.index("transport") + 1]
        if layer in LAYERS:
            entered[layer, path.name, function["name"].split(":")[-1]] += function["count"]
    return entered


def main():
    program, profile = sys.argv[1:3]
    least = float(sys.argv[3]) if len(sys.argv) > 3 else 0
    entered = functions(program, profile)
    for layer in LAYERS:
        counts = [count for key, count in entered.items() if key[0] == layer]
        missed = [f"{file}:{name}" for (at, file, name), count in sorted(entered.items()) if at == layer and not count]
        print(f"{layer:9} {sum(map(bool, counts)):4} of {len(counts):4} functions reached")
        for name in missed:
            print(f"          not {name}")
    reached = sum(map(bool, entered.values()))
    percent = 100 * reached / len(entered)
    print(f"in all    {reached:4} of {len(entered):4} functions reached: {percent:.1f} %")
    return percent < least


if __name__ == "__main__":
    sys.exit(main())
