#!/usr/bin/env python3
"""The manifest of a system image: which packages it has, and the SHA-256 of each of its parts. Same input, same bytes."""
import argparse
import hashlib
import json
import pathlib
import re


def sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def packages(status: str) -> dict[str, str]:
    """Names and versions out of dpkg's status file, as far as they are installed."""
    found = {}
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            found[fields["Package"]] = fields["Version"]
    return dict(sorted(found.items()))


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--root", required=True, help="the root file system as a folder")
    words.add_argument("--version", required=True)
    words.add_argument("--number", type=int, required=True)
    words.add_argument("--floor", type=int, required=True)
    words.add_argument("--kernel", required=True, help="the kernel's package and version")
    words.add_argument("--u-boot", required=True, help="the version of U-Boot's source package")
    words.add_argument("--epoch", type=int, required=True, help="SOURCE_DATE_EPOCH")
    words.add_argument("--root-hash", required=True)
    words.add_argument("parts", nargs="+", metavar="NAME=FILE")
    given = words.parse_args()
    root = pathlib.Path(given.root)
    parts = {}
    for part in given.parts:
        name, path = part.split("=", 1)
        parts[name] = {"sha256": sha256(path), "bytes": pathlib.Path(path).stat().st_size}
    programs = {
        "engawa": sha256(root / "usr/lib/engawa/engawa"),
        "engawa-supervisor": sha256(root / "usr/lib/engawa/engawa-supervisor"),
    }
    print(json.dumps({
        "format": 1,
        "version": given.version,
        "number": given.number,
        "floor": given.floor,
        "source_date_epoch": given.epoch,
        "root_hash": given.root_hash,
        "parts": parts,
        "programs": programs,
        "kernel": given.kernel,
        "u_boot": given.u_boot,
        "packages": packages((root / "var/lib/dpkg/status").read_text()),
    }, indent=1))


if __name__ == "__main__":
    main()
