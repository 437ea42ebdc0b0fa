"""What a machine without power would start: read from its disk and its boot store by somebody who has neither U-Boot nor Linux."""
import hashlib
import json
import pathlib
import subprocess
import zlib

SIZE = 0x4000
AT = (0x100000, 0x200000)
MIB = 1 << 20
# Where the slots' partitions begin and how long they are, MiB: build.sh's table.
PARTS = {"A": {"boot": (1, 32), "root": (33, 256)}, "B": {"boot": (289, 32), "root": (321, 256)}}


def copies(folder: pathlib.Path) -> tuple[bytes, bytes]:
    """Both copies of U-Boot's environment, as they are."""
    with open(folder / "boot-store.img", "rb") as file:
        read = []
        for at in AT:
            file.seek(at)
            read.append(file.read(SIZE))
    return read[0], read[1]


def variables(folder: pathlib.Path) -> dict[str, str]:
    """U-Boot's environment: of two copies whose sums are right, the newer one (env/common.c, env_check_redund)."""
    whole = []
    for copy in copies(folder):
        if zlib.crc32(copy[5:]) == int.from_bytes(copy[:4], "little"):
            whole.append((copy[4], copy[5:]))
    if not whole:
        return {}
    if len(whole) == 2:
        (one, _), (two, _) = whole
        # The counter has a byte, and begins anew after 255.
        if two == 0 and one == 255 or not (one == 0 and two == 255) and two > one:
            whole.reverse()
    text = whole[0][1].split(b"\0\0")[0].decode(errors="replace")
    return dict(line.split("=", 1) for line in text.split("\0") if "=" in line)


def sums(image: pathlib.Path) -> dict[str, tuple[int, str]]:
    """Length and SHA-256 of what an image puts into a slot."""
    root = json.loads((image / "manifest.json").read_text())["parts"]["rootfs"]
    boot = (image / "boot.img").read_bytes()
    return {"root": (root["bytes"], root["sha256"]), "boot": (len(boot), hashlib.sha256(boot).hexdigest())}


def holds(folder: pathlib.Path, slot: str, images: dict[str, dict[str, tuple[int, str]]]) -> str | None:
    """Which of the images lies in the slot, kernel image and root file system, to the last byte; None: none of them."""
    found = set(images)
    for part, (at, mib) in PARTS[slot].items():
        read = folder / f"part-{slot}-{part}"
        read.unlink(missing_ok=True)
        subprocess.run(["qemu-img", "dd", "-f", "qcow2", "-O", "raw", "bs=1M", f"skip={at}", f"count={at + mib}",
                        f"if={folder / 'disk.qcow2'}", f"of={read}"], check=True, capture_output=True)
        for version in list(found):
            length, digest = images[version][part]
            with open(read, "rb") as file:
                if hashlib.sha256(file.read(length)).hexdigest() != digest:
                    found.discard(version)
        read.unlink()
    return found.pop() if found else None


def would_start(folder: pathlib.Path, images: dict[str, dict[str, tuple[int, str]]]) -> list[tuple[str, str | None]]:
    """The slots that U-Boot would start, in its order, and which image is in each."""
    environment = variables(folder)
    order = environment.get("BOOT_ORDER", "A B").split()
    left = [slot for slot in order if int(environment.get(f"BOOT_{slot}_LEFT", "3"), 16) > 0]
    # Where none has a try left, all of the order get theirs anew.
    return [(slot, holds(folder, slot, images)) for slot in left or order]
