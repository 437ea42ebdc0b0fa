"""The images that the tests need beside the one that is tried: a newer one, and some with a fault on purpose."""
import hashlib
import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
IMAGE = HERE.parent
ROOT = IMAGE.parent.parent

# name: what build.sh is told, and files that are laid over the root file system.
UNHEALTHY = "[Service]\nExecStartPre=\nExecStart=\nExecStart=/bin/false\n"
PANICS = """[Unit]
Description=A fault on purpose: the kernel panics when the system is nearly up
After=basic.target
Before=engawa-good.service

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'sleep 2; echo c >/proc/sysrq-trigger'
"""
VARIANTS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "first": ({"VERSION": "1.0.0", "NUMBER": "1"}, {}),
    "good": ({"VERSION": "2.0.0", "NUMBER": "2", "FLOOR": "2"}, {}),
    "next": ({"VERSION": "3.0.0", "NUMBER": "3", "FLOOR": "3"}, {}),
    # Its kernel image has a good signature, and no first program.
    "no-init": ({"VERSION": "2.1.0", "NUMBER": "3"}, {}),
    # The bundle is signed, the kernel image in it has a byte that is not: U-Boot's matter.
    "kernel": ({"VERSION": "2.2.0", "NUMBER": "3", "DAMAGE": "kernel"}, {}),
    "panics": ({"VERSION": "2.3.0", "NUMBER": "3"}, {
        "usr/lib/systemd/system/panics.service": PANICS,
        "etc/systemd/system/multi-user.target.d/fault.conf": "[Unit]\nWants=panics.service\n",
    }),
    # What systemd can't do without never comes: it ends where others would ask for somebody's password.
    "no-data": ({"VERSION": "2.5.0", "NUMBER": "3"}, {
        "etc/systemd/system/never.mount": "[Unit]\nDescription=A fault on purpose\nBefore=local-fs.target\n\n"
                                          "[Mount]\nWhat=/dev/no-such-disk\nWhere=/never\nType=ext4\n",
        "etc/systemd/system/dev-no\\x2dsuch\\x2ddisk.device.d/soon.conf": "[Unit]\nJobRunningTimeoutSec=5\n",
        "etc/systemd/system/local-fs.target.d/fault.conf": "[Unit]\nRequires=never.mount\n",
    }),
    "unhealthy": ({"VERSION": "2.4.0", "NUMBER": "3", "GOOD_WITHIN_S": "75"}, {
        "etc/systemd/system/engawa.service.d/zz-fault.conf": UNHEALTHY,
    }),
}


def later(turn: int) -> tuple[str, str, int]:
    """One of the good images that follow each other, each newer than all before: name, version, number."""
    name, version, number = f"later-{turn}", f"4.{turn}.0", 4 + turn
    VARIANTS[name] = ({"VERSION": version, "NUMBER": str(number), "FLOOR": "2"}, {})
    return name, version, number


def stamp(environment: dict[str, str], files: dict[str, str]) -> str:
    """What an image is made of: a change of any of it makes it anew."""
    digest = hashlib.sha256(repr((sorted(environment.items()), sorted(files.items()))).encode())
    programs = [pathlib.Path(environment["ENGAWA"]), pathlib.Path(environment["SUPERVISOR"])]
    sources = [p for p in IMAGE.rglob("*") if p.is_file() and HERE not in p.parents and p.suffix != ".md"]
    for path in [*sorted(sources), *sorted((ROOT / "deploy/systemd").iterdir()), *programs]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def make(name: str, cache: pathlib.Path, again: bool = False) -> pathlib.Path:
    """The folder of the image `name`, built where that has not been done. All but the first are bundles alone.
    `again`: built once more beside it, whatever is there."""
    wishes, files = VARIANTS[name]
    folder = cache / "tested" / (f"{name}-again" if again else name)
    environment = {
        "ENGAWA": os.environ.get("ENGAWA", str(ROOT / "target/out/arm64/engawa")),
        "SUPERVISOR": os.environ.get("SUPERVISOR", str(ROOT / "target/out/arm64/engawa-supervisor")),
        "LEVEL": "1", "CACHE": str(cache), "OUT": str(folder), **wishes,
    }
    for program in ("ENGAWA", "SUPERVISOR"):
        if not pathlib.Path(environment[program]).is_file():
            raise SystemExit(f"there is no {environment[program]}: build it with  make arm, or name it in {program}=")
    if name != "first":
        environment["BUNDLE_ONLY"] = "1"
    if name == "no-init":
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "init").write_text("#!/bin/no-such-program\n")
        environment["OVERLAY_INIT"] = str(folder / "init")
    made_of = stamp(environment, files)
    mark = folder / "made-of"
    if not again and mark.exists() and mark.read_text() == made_of:
        return folder
    overlay = folder / "overlay"
    for path, text in files.items():
        (overlay / path).parent.mkdir(parents=True, exist_ok=True)
        (overlay / path).write_text(text)
    if files:
        environment["OVERLAY"] = str(overlay)
    print(f"-- building the image {name!r}{' again' if again else ''}", flush=True)
    done = subprocess.run([IMAGE / "build.sh"], env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"the image {name!r} was not built:\n{done.stderr}")
    mark.write_text(made_of)
    return folder


def foreign(bundle: pathlib.Path, keys: pathlib.Path, to: pathlib.Path) -> None:
    """The same bundle signed by somebody else."""
    strangers = to.parent / "strangers"
    subprocess.run([IMAGE / "keys.sh", strangers], check=True, capture_output=True)
    to.unlink(missing_ok=True)
    subprocess.run(["rauc", f"--cert={strangers / 'signer.pem'}", f"--key={strangers / 'signer.key'}",
                    f"--keyring={keys / 'ca.pem'}", f"--signing-keyring={strangers / 'ca.pem'}",
                    "resign", bundle, to], check=True, capture_output=True)


def damaged(bundle: pathlib.Path, to: pathlib.Path) -> None:
    """The same bundle with one byte changed in the middle."""
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    to.write_bytes(data)
