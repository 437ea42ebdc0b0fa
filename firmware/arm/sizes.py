#!/usr/bin/env python3
"""What the bytes of a program are: its sections, and its code by crate. `sizes.py PROGRAM [MOST]`

The program must have its symbols:
CARGO_PROFILE_DIST_STRIP=none bash firmware/arm/programs.sh aarch64-unknown-linux-gnu engawa

A function counts for the first crate in its name that is not the standard library's: what a crate has the library's
generic code made for is the crate's. A function that several names are folded into counts once.
"""
import collections
import re
import subprocess
import sys

STANDARD = {"core", "alloc", "std", "hashbrown", "compiler_builtins", "gimli", "addr2line", "rustc_demangle", "miniz_oxide"}
# The beginning of a path: no other name and "::" before it.
CRATE = re.compile(r"(?<![\w:}>\]])([A-Za-z_]\w*)(?:\[[0-9a-f]+\])?::")
C = [
    (re.compile(r"^(ZSTD|HUF|FSE|HIST|XXH|ZDICT|POOL|COVER|FASTCOVER|divsuf)"), "zstd (C)"),
    (re.compile(r"ring_core"), "ring (C and assembly)"),
    (re.compile(r"^OUTLINED_FUNCTION"), "(shared between functions by the compiler)"),
    (re.compile(r"^(_R|_ZN|rust_|__rust|_Unwind)"), "std"),
]


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def crate(name):
    found = [word for word in CRATE.findall(name) if word not in ("str", "f64", "u8")]
    for word in found:
        if word not in STANDARD:
            return word
    if found or "::" in name:
        return "std"
    return next((of for pattern, of in C if pattern.search(name)), "C: SQLite, SQLCipher and the rest")


def table(title, rows, most):
    print(title)
    for of, size, note in sorted(rows, key=lambda row: -row[1])[:most]:
        print(f"{size / 1024:9.1f}  {of}{note}")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program, most = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 40
    sections = []
    for line in run("readelf", "-SW", program):
        row = re.match(r"\s*\[ *\d+\] (\.\S+) +(\S+) +[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+)", line)
        if row and row[2] != "NOBITS" and int(row[3], 16) >= 1024:
            sections.append((row[1], int(row[3], 16), ""))
    table("sections, KiB", sections, most)
    size, count, seen = collections.Counter(), collections.Counter(), set()
    for line in run("nm", "-C", "--defined-only", "--print-size", program):
        row = re.match(r"([0-9a-f]+) ([0-9a-f]+) [tTwW] (.*)", line)
        if row and row[1] not in seen:
            seen.add(row[1])
            of = crate(row[3])
            size[of] += int(row[2], 16)
            count[of] += 1
    if not seen:
        sys.exit(f"{program} has no symbols: see the head of this file")
    table("code by crate, KiB (functions)", [(of, size[of], f" ({count[of]})") for of in size], most)


if __name__ == "__main__":
    main()
