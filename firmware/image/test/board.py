"""A board in QEMU: its disk, its boot store, its console, sticks that are put in and taken out, and the plug that is pulled."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request


class Late(Exception):
    """Something did not happen in time; the text says what, and what the console said last."""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def copy_sparse(source: pathlib.Path, target: pathlib.Path) -> None:
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", source, target], check=True)


def overlay(below: pathlib.Path, form: str, path: pathlib.Path, *size: str) -> None:
    """A disk that begins as `below`, which stays as it is. QEMU writes down where the new clusters lie when the guest flushes:
    with the plug what was written since then is gone, as with a disk's own cache."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", below.resolve(), path, *size], check=True)


class Monitor:
    """QEMU's ear, for one who has several questions."""

    def __init__(self, path: pathlib.Path):
        self.line = socket.socket(socket.AF_UNIX)
        self.line.settimeout(60)
        self.line.connect(str(path))
        self.stream = self.line.makefile("rw")
        self.stream.readline()
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: object) -> object:
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            line = self.stream.readline()
            if not line:
                raise ConnectionError("QEMU has ended")
            answer = json.loads(line)
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        self.line.close()


class Stick:
    """A FAT stick as a file, named ENGAWA."""

    def __init__(self, path: pathlib.Path, files: dict[str, bytes | pathlib.Path], mib: int = 16):
        self.path = path
        size = sum(len(f) if isinstance(f, bytes) else f.stat().st_size for f in files.values())
        path.unlink(missing_ok=True)
        with open(path, "wb") as file:
            file.truncate(max(mib << 20, size + (8 << 20)))
        subprocess.run(["mkfs.vfat", "-n", "ENGAWA", path], check=True, stdout=subprocess.DEVNULL)
        for name, content in files.items():
            data = content if isinstance(content, bytes) else None
            source = "-" if data is not None else str(content)
            subprocess.run(["mcopy", "-o", "-i", path, source, f"::{name}"], input=data, check=True)

    def read(self, name: str) -> str | None:
        done = subprocess.run(["mtype", "-i", self.path, f"::{name}"], capture_output=True)
        return done.stdout.decode(errors="replace") if done.returncode == 0 else None


class Board:
    """One machine. Its disk and boot store are files in `folder`; what it says is in `folder/console`."""

    def __init__(self, image: pathlib.Path, folder: pathlib.Path, disk_mib: int = 1536, like: "Board | None" = None):
        """A new one, or one with what is on the disk of another, which is switched off and stays so."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.image = folder, image
        if like:
            overlay(like.folder / "disk.qcow2", "qcow2", folder / "below.qcow2")
        else:
            overlay(image / "disk.img", "raw", folder / "below.qcow2", f"{disk_mib}M")
        overlay(folder / "below.qcow2", "qcow2", folder / "disk.qcow2")
        shutil.copy((like.folder if like else image) / "boot-store.img", folder / "boot-store.img")
        self.console = folder / "console"
        self.console.write_bytes(b"")
        self.port = free_port()
        self.qemu: subprocess.Popen | None = None
        self.stick: Stick | None = None
        self.seen = 0
        self.started = 0.0

    # Power.
    def power_on(self, stick: Stick | None = None) -> None:
        assert self.qemu is None
        self.stick = stick
        self.seen = self.console.stat().st_size
        self.started = time.monotonic()
        self.launch()

    def switch_off(self) -> None:
        """Ends it with all that it has written."""
        self.qmp({"execute": "quit", "arguments": {}})
        assert self.qemu
        self.qemu.wait(60)
        self.qemu = None

    def settle(self) -> None:
        """What the disk has now is what it has: what is written from here on is in the disk's cache again until it is flushed."""
        assert self.qemu is None
        subprocess.run(["qemu-img", "commit", "-q", "-d", self.folder / "disk.qcow2"], check=True)
        overlay(self.folder / "below.qcow2", "qcow2", self.folder / "disk.qcow2")

    def launch(self) -> None:
        (self.folder / "qmp").unlink(missing_ok=True)
        command = [
            "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57", "-accel", "tcg,thread=multi", "-smp", "2",
            "-m", "512", "-display", "none", "-monitor", "none",
            "-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console",
            "-bios", str(self.image / "u-boot.bin"), "-dtb", str(self.image / "board.dtb"),
            "-device", "sdhci-pci", "-device", "sd-card,drive=boot",
            # A card of this kind has no cache: what it has taken is there. The disk has one: see `overlay`.
            "-drive", f"if=none,id=boot,format=raw,cache=writethrough,file={self.folder / 'boot-store.img'}",
            "-drive", f"if=none,id=disk,format=qcow2,cache=writeback,file={self.folder / 'disk.qcow2'}",
            "-device", "virtio-blk-pci,drive=disk,romfile=",
            "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{self.port}-:8480",
            "-device", "virtio-net-pci,netdev=net,romfile=",
            "-device", "virtio-rng-pci", "-device", "qemu-xhci,id=usb", "-device", "i6300esb",
            "-watchdog-action", "reset", "-action", "reboot=shutdown",
            "-qmp", f"unix:{self.folder / 'qmp'},server=on,wait=off",
        ]
        if self.stick:
            command += ["-drive", f"if=none,id=stick0,format=raw,file={self.stick.path}",
                        "-device", "usb-storage,id=stick,drive=stick0,bus=usb.0,removable=on"]
        self.qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=open(self.folder / "qemu.log", "ab"))

    def pull_the_plug(self) -> None:
        """SIGKILL: no flush, no orderly end of anything."""
        if self.qemu:
            self.qemu.kill()
            self.qemu.wait()
            self.qemu = None

    def keep_on(self) -> None:
        """A reset of the machine ends QEMU, and here it begins anew: what it has translated of one system would slow the start
        of the next one down by a minute. Whatever else ends it is a fault."""
        if self.ended_well():
            self.launch()

    def ended_well(self) -> bool:
        """True where the machine was reset, which ends QEMU."""
        if not self.qemu or self.qemu.poll() is None:
            return False
        if self.qemu.returncode != 0:
            raise Late(f"QEMU ended: {(self.folder / 'qemu.log').read_text()[-800:]}")
        return True

    def since_start(self) -> float:
        return time.monotonic() - self.started

    # What it says.
    def text(self) -> str:
        data = self.console.read_bytes()
        return data[self.seen:].decode(errors="replace").replace("\r", "")

    def forget(self) -> None:
        """From here on only new lines of the console count."""
        self.seen = self.console.stat().st_size

    def wait(self, what: str, seconds: float) -> re.Match:
        """Until the console says `what` (a pattern), at most so long."""
        until = time.monotonic() + seconds
        while True:
            if found := re.search(what, self.text(), re.MULTILINE):
                return found
            self.keep_on()
            if time.monotonic() > until:
                raise Late(f"not within {seconds:.0f} s: {what}\n" + "\n".join(self.text().splitlines()[-25:]))
            time.sleep(0.1)

    def wait_healthy(self, seconds: float) -> float:
        """Until the agent's health endpoint says 200; seconds since power on."""
        until = time.monotonic() + seconds
        last = "no answer"
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
                    if answer.status == 200:
                        return self.since_start()
            except urllib.error.HTTPError as error:
                last = f"{error.code} {error.read()[:200]!r}"
            except OSError as error:
                last = str(error)
            if "Failed to start engawa.service" in self.text():
                raise Late("engawa.service does not start; its journal is on the data partition")
            self.keep_on()
            time.sleep(0.2)
        raise Late(f"not healthy within {seconds:.0f} s ({last})\n" + "\n".join(self.text().splitlines()[-40:]))

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return answer.read()

    # Its hand on the machine.
    def qmp(self, *commands: dict) -> None:
        with Monitor(self.folder / "qmp") as monitor:
            for command in commands:
                monitor.ask(command["execute"], **command["arguments"])

    def plug_in(self, stick: Stick) -> None:
        self.stick = stick
        self.qmp(
            {"execute": "blockdev-add", "arguments": {
                "node-name": "stick0", "driver": "raw", "file": {"driver": "file", "filename": str(stick.path)}}},
            {"execute": "device_add", "arguments": {
                "driver": "usb-storage", "id": "stick", "drive": "stick0", "bus": "usb.0", "removable": True}},
        )

    def take_out(self) -> None:
        self.stick = None
        self.qmp({"execute": "device_del", "arguments": {"id": "stick"}})
        until = time.monotonic() + 20
        while True:
            try:
                self.qmp({"execute": "blockdev-del", "arguments": {"node-name": "stick0"}})
                return
            except RuntimeError as error:
                if "not found" in str(error).lower() or "Failed to find" in str(error):
                    return
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
