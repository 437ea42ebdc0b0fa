"""The plug is pulled while a system image comes over the link and is installed; nobody asks again for what was cut short."""
import dataclasses
import json
import pathlib
import random
import re
import time
from typing import Callable

import kills
import store
import variants
from application import Shop
from board import Board, Late

# What is cut, in turn: while the disk is written, at a write of the boot store (U-Boot's environment), in the first start of the
# new image, once more while the disk is written, while the bundle is fetched.
KINDS = ["written", "stored", "started", "written", "fetched"]
INSTALLING = r"system: installing \S+, number"
# What the installer says when it finds a request that the power has cut short.
FINDS = r"system: .*?(once more|was installed before the power went|has to be fetched again|was answered already)"
HEAD = f"{'cut':>4}  {'where':34}  {'s':>6}  {'would start':22}  {'the installer then':36}  {'healthy':>7}  {'done':>6}"


@dataclasses.dataclass
class Way(kills.Course):
    """An installation over the link that nobody disturbs."""
    fetched: float = 0.0  # s, from the first byte to the word "installing"


@dataclasses.dataclass
class Cut(kills.Cut):
    finds: str = "-"
    end: float = 0.0  # from power to the rollout's end, s

    def row(self) -> str:
        return (f"{self.number:4}  {self.said:34}  {self.seconds:6.1f}  {self.order:22}  {self.finds:36}  {self.start:7.1f}"
                f"  {self.end:6.1f}")


def plan(count: int, seed: int, way: Way) -> list[Cut]:
    """The moments: spread over each kind, where in its share by chance."""
    chance = random.Random(seed)
    kinds = [KINDS[n % len(KINDS)] for n in range(count)]
    most = {"written": 1.0, "stored": way.changes, "started": way.good - way.restarted, "fetched": way.fetched}
    cuts = []
    for number, kind in enumerate(kinds):
        share, nth = kinds.count(kind), kinds[:number].count(kind)
        at = (nth + chance.random()) / share * most[kind]
        cuts.append(Cut(number + 1, kind, at, chance.uniform(0.0, 0.3) if kind == "written" else 0.0))
    return cuts


def begins(board: Board, shop: Shop, version: str, limit: float) -> float:
    """Until the bundle is being fetched; since when."""
    until = time.monotonic() + limit
    while True:
        steps = shop.steps(version)
        if any(step == "downloading" for step, _ in steps):
            return time.monotonic()
        if any(step in ("refused", "failed") for step, _ in steps) or time.monotonic() > until:
            raise Late(f"{version} is not fetched within {limit:.0f} s: {steps}")
        board.keep_on()
        time.sleep(0.1)


def watched(board: Board, shop: Shop, version: str, way: Way, limit: float) -> None:
    """Looks at an installation that was just rolled out, until the new image is good."""
    board.forget()
    begun = begins(board, shop, version, limit)
    board.wait(INSTALLING, limit * 2)
    way.fetched = time.monotonic() - begun
    kills.watched(board, way, limit)


class Bench:
    """A machine on which image follows image, whatever happens to the power."""

    def __init__(self, board: Board, shop: Shop, rollout: Callable[..., str], way: Way, cache: pathlib.Path, limit: float):
        self.board, self.shop, self.rollout, self.way, self.cache, self.limit = board, shop, rollout, way, cache, limit
        self.images = {"2.0.0": store.sums(variants.make("good", cache))}

    def cut(self, cut: Cut) -> None:
        """Rolls the next image out, pulls the plug, and looks what comes of it."""
        board = self.board
        # Nobody is offered what is older than what he has: each is newer than all before.
        name, version, number = variants.later(cut.number)
        image = variants.make(name, self.cache)
        self.images[version] = store.sums(image)
        self.shop.system(version, number, 2, image / "system.raucb")
        board.forget()
        self.shop.roll_out(version, "--system")
        begun = begins(board, self.shop, version, self.limit)
        if cut.kind == "fetched":
            while time.monotonic() - begun < cut.at and not re.search(INSTALLING, board.text()):
                time.sleep(0.05)
            cut.said = f"{time.monotonic() - begun:.1f} s into fetching it"
        else:
            board.wait(INSTALLING, self.limit * 2)
            begun = time.monotonic()
            kills.until(board, cut, self.way, begun, self.limit)
        ready = kills.power(board, cut, begun, self.images, "2.0.0")
        starts = board.wait(r"engawa: slot ([AB]), tries left", self.limit)[1]
        if starts != ready[0][0]:
            raise Late(f"cut {cut.number} ({cut.said}): slot {starts} starts, and {cut.order} was expected")
        cut.start = board.wait_healthy(self.limit)
        self.shop.ended(board, version, "confirmed", self.limit * 4)
        self.is_done(version)
        cut.end = board.since_start()
        if found := re.search(FINDS, board.text()):
            cut.finds = found[1]

    def is_done(self, version: str) -> None:
        """Until the cloud says so of the rollout, and of the gateway that it runs the image."""
        until = time.monotonic() + self.limit
        while True:
            last = json.loads(self.rollout("list", "--json").splitlines()[-1])
            runs = json.loads(self.rollout("fleet", "--gateways", "--json").splitlines()[0])["software"]["system"]
            if (last["state"], runs) == ("done", version):
                return
            if time.monotonic() > until:
                raise Late(f"the rollout of {version} is {last['state']}, and {runs} runs: {last}")
            time.sleep(0.5)
