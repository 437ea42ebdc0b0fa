"""Releases of the application on the board: good ones, and some with a fault on purpose. The shop that makes them, the hotel's PMS."""
import json
import pathlib
import socket
import sqlite3
import subprocess
import threading
import time

from board import Board, Late

# What is started in place of the agent, which lies beside it as `agent`; None: the agent itself.
KINDS: dict[str, str | None] = {
    "good": None,
    "panics": "echo 'thread main panicked' >&2; exit 101",
    "loses-the-pms": "sed \"s/^address = .* # pms/address = '127.0.0.1:1'/\" \"$2\" >/run/engawa/other.toml\n"
                     "exec \"$(dirname \"$0\")/agent\" run /run/engawa/other.toml",
    "eats-memory": "hoard=$(head -c 180000000 /dev/zero | tr '\\0' a); sleep 600; echo $hoard",
}


class Shop:
    """Keys, drafts, and the cloud's folder with the repository of releases."""

    def __init__(self, cloud: pathlib.Path, folder: pathlib.Path, home: pathlib.Path, agent: pathlib.Path):
        self.cloud, self.folder, self.home, self.agent = cloud, folder, home, agent
        folder.mkdir()
        self.done("keygen", "root.key")
        self.done("keygen", "releases.key")
        self.done("init", "first", "--root", "root.key.pub", "--targets", "releases.key.pub")
        self.done("sign", "first", "--key", "root.key", "--key", "releases.key", "--yes")
        self.done("publish", "first")

    def done(self, *words: str) -> None:
        done = subprocess.run([self.cloud, "release", *words, "--dir", self.home], cwd=self.folder,
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"engawa-cloud release {' '.join(words)}: {done.stderr}")

    def root(self) -> bytes:
        return (self.home / "releases/metadata/1.root.json").read_bytes()

    def release(self, version: str, number: int, kind: str) -> None:
        files = self.folder / f"files-{version}"
        files.mkdir()
        script = KINDS[kind]
        agent = files / ("engawa" if script is None else "agent")
        agent.write_bytes(self.agent.read_bytes())
        agent.chmod(0o755)
        if script is not None:
            (files / "engawa").write_text(f"#!/bin/sh\n{script}\n")
            (files / "engawa").chmod(0o755)
        (files / "notes.txt").write_text(version)
        self.publish(files, f"draft-{version}", version, number)

    def publish(self, files: pathlib.Path, draft: str, version: str, number: int, *more: str) -> None:
        self.done("create", str(files), "--draft", draft, "--triple", "aarch64-unknown-linux-gnu",
                  "--version", version, "--number", str(number), *more)
        self.done("sign", draft, "--key", "releases.key", "--yes")
        self.done("publish", draft)

    def system(self, version: str, number: int, floor: int, bundle: pathlib.Path) -> None:
        """A system image as a release: its bundle is the one file."""
        files = self.folder / f"system-{version}"
        files.mkdir()
        (files / "system.raucb").hardlink_to(bundle)
        self.publish(files, f"draft-system-{version}", version, number, "--kind", "system", "--hardware", "virt",
                     "--floor", str(floor))

    def roll_out(self, version: str, *more: str) -> None:
        words = ["rollout", "create", version, "--dir", str(self.home), "--ring", "all:all,soak=0s", "--not-during", "none",
                 "--start", *more]
        done = subprocess.run([self.cloud, *words], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"engawa-cloud {' '.join(words)}: {done.stderr}")

    def steps(self, version: str) -> list[tuple[str, str]]:
        """The steps of a version's update and their reasons, as the journal in the cloud has them."""
        with sqlite3.connect(f"file:{self.home / 'cloud.db'}?mode=ro", uri=True) as database:
            rows = database.execute("SELECT body FROM journal WHERE kind = 'update' ORDER BY rowid").fetchall()
        bodies = [json.loads(body) for (body,) in rows]
        return [(body.get("step", ""), body.get("reason") or "") for body in bodies if body.get("version") == version]

    def ended(self, board: Board, version: str, wanted: str, seconds: float) -> str:
        """Until the cloud's journal says how the version ended; why."""
        until = time.monotonic() + seconds
        while True:
            steps = self.steps(version)
            if steps and steps[-1][0] == wanted:
                return steps[-1][1]
            over = steps and steps[-1][0] in ("confirmed", "rolled_back", "failed", "refused")
            if over or time.monotonic() > until:
                raise Late(f"{version} is not {wanted} within {seconds:.0f} s: {steps}\n" + "\n".join(board.text().splitlines()[-15:]))
            board.keep_on()
            time.sleep(0.5)


class Pms:
    """A PMS that greets whoever comes: a link start, and an answer to each link alive."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                line, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.greet, args=(line,), daemon=True).start()

    @staticmethod
    def greet(line: socket.socket) -> None:
        try:
            line.sendall(b"\x02LS|DA260715|TI101500|\x03")
            kept = b""
            while more := line.recv(4096):
                kept += more
                while b"\x03" in kept:
                    record, kept = kept.split(b"\x03", 1)
                    if record.startswith(b"\x02LA|"):
                        line.sendall(b"\x02LA|DA260715|TI101501|\x03")
        except OSError:
            return
