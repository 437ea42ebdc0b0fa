"""The plug is pulled in the middle of an installation, over and over; what is started afterwards installs the same again."""
import concurrent.futures
import dataclasses
import pathlib
import random
import re
import threading
import time

import store
from board import Board, Late, Monitor, Stick, copy_sparse

# Of each ten cuts: so many while the disk is written, so many at a write of the boot store (U-Boot's environment), so many in the
# first start of the new image until it is called good.
WRITTEN, STORED = 6, 2
LOOK = 0.005
GOOD = r"system image (\S+) is good, slot ([AB])"


@dataclasses.dataclass
class Course:
    """An installation that nobody disturbs, from the word "installing"."""
    written: int = 0  # bytes written to the disk until it is installed
    changes: int = 0  # of the boot store, until then
    installed: float = 0.0  # s
    restarted: float = 0.0  # s
    good: float = 0.0  # s


@dataclasses.dataclass
class Cut:
    number: int
    kind: str
    at: float
    jitter: float
    said: str = ""
    seconds: float = 0.0  # into the installation
    order: str = ""
    after: str = ""
    start: float = 0.0  # from power to healthy, s

    def row(self) -> str:
        return f"{self.number:4}  {self.said:34}  {self.seconds:6.1f}  {self.order:22}  {self.after:10}  {self.start:6.1f}"


HEAD = f"{'cut':>4}  {'where':34}  {'s':>6}  {'would start':22}  {'started':10}  {'s':>6}"


def plan(count: int, seed: int, course: Course) -> list[Cut]:
    """The moments: spread over each part, where in its share by chance."""
    chance = random.Random(seed)
    kinds = ["written" if n % 10 < WRITTEN else "stored" if n % 10 < WRITTEN + STORED else "started" for n in range(count)]
    cuts = []
    for kind, most in (("written", 1.0), ("stored", course.changes), ("started", course.good - course.restarted)):
        share = kinds.count(kind)
        for n in range(share):
            at = (n + chance.random()) / share * most
            cuts.append(Cut(0, kind, at, chance.uniform(0.0, 0.3) if kind == "written" else 0.0))
    chance.shuffle(cuts)
    for number, cut in enumerate(cuts, start=1):
        cut.number = number
    return cuts


class Bench:
    """What machines are to install, and what may come of it."""

    def __init__(self, folder: pathlib.Path, bundle: pathlib.Path, images: dict[str, pathlib.Path], limit: float):
        self.folder, self.limit = folder, limit
        self.stick = Stick(folder / "kills.img", {"next.raucb": bundle}).path
        self.images = {version: store.sums(image) for version, image in images.items()}

    def machine(self, name: str, like: Board) -> Board:
        board = Board(like.image, self.folder / name, like=like)
        board.power_on()
        board.wait(GOOD, self.limit)
        return board

    def begin(self, board: Board) -> None:
        """A healthy machine begins to install."""
        stick = Stick.__new__(Stick)
        stick.path = board.folder / "stick.img"
        copy_sparse(self.stick, stick.path)
        board.forget()
        board.plug_in(stick)
        board.wait(r"setup: installing", self.limit)

    def cut(self, board: Board, cut: Cut, course: Course, floor: str) -> str:
        """Pulls the plug, and looks what comes of it; which image runs then. `floor`: the oldest that may run."""
        self.begin(board)
        begun = time.monotonic()
        until(board, cut, course, begun, self.limit)
        ready = power(board, cut, begun, self.images, floor)
        cut.start = board.wait_healthy(self.limit)
        good = board.wait(GOOD, self.limit)
        cut.after = f"{good[1]} in {good[2]}"
        if (good[2], good[1]) != ready[0]:
            raise Late(f"cut {cut.number} ({cut.said}): {cut.after} runs, and {cut.order} was expected")
        return good[1]


def restarted(board: Board) -> bool:
    """True once the machine has gone down for the new image; it is then on again, without the stick."""
    if not board.ended_well():
        return False
    board.stick = None
    board.launch()
    return True


def in_time(begun: float, board: Board, limit: float) -> None:
    if time.monotonic() - begun > limit:
        raise Late("the installation does not come to its moment\n" + "\n".join(board.text().splitlines()[-15:]))


def watched(board: Board, course: Course, limit: float) -> None:
    """Looks at an installation that has just begun, until the new image is good."""
    begun, last = time.monotonic(), store.copies(board.folder)
    with Monitor(board.folder / "qmp") as monitor:
        before = written(monitor)
        while not course.installed:
            now = store.copies(board.folder)
            course.changes += now != last
            last = now
            course.written = written(monitor) - before
            if "is installed" in board.text():
                course.installed = time.monotonic() - begun
            in_time(begun, board, limit)
            time.sleep(LOOK)
    while not restarted(board):
        in_time(begun, board, limit)
        time.sleep(LOOK)
    course.restarted = time.monotonic() - begun
    board.wait(GOOD, limit)
    course.good = time.monotonic() - begun


def until(board: Board, cut: Cut, course: Course, begun: float, limit: float) -> None:
    """Until the cut's moment, in an installation that began at `begun`."""
    if cut.kind == "started":
        while not restarted(board):
            in_time(begun, board, limit)
            time.sleep(LOOK)
        till = time.monotonic() + cut.at
        while time.monotonic() < till and not re.search(GOOD, board.text()):
            time.sleep(LOOK)
        cut.said = f"{cut.at:.1f} s into the first start"
        return
    last, changes, done = store.copies(board.folder), 0, 0
    with Monitor(board.folder / "qmp") as monitor:
        before = written(monitor)
        while "is installed" not in board.text():
            if cut.kind == "written":
                done = written(monitor) - before
                if done > cut.at * course.written:
                    break
                time.sleep(LOOK)
            else:
                now = store.copies(board.folder)
                changes += now != last
                last = now
                if changes > cut.at:
                    break
                time.sleep(LOOK / 10)
            in_time(begun, board, limit)
    time.sleep(cut.jitter)
    cut.said = f"{done >> 20} MiB written" if cut.kind == "written" else f"write {changes} of the boot store"


Ready = list[tuple[str, str | None]]
Images = dict[str, dict[str, tuple[int, str]]]


def power(board: Board, cut: Cut, begun: float, images: Images, floor: str) -> Ready:
    """Pulls the plug, looks what would start, which is complete and not below the floor, and gives power again."""
    board.pull_the_plug()
    board.stick = None
    cut.seconds = time.monotonic() - begun
    ready = store.would_start(board.folder, images)
    cut.order = ", ".join(f"{image or 'INCOMPLETE'} in {slot}" for slot, image in ready) or "NOTHING"
    if not ready or any(image is None or image < floor for _, image in ready):
        raise Late(f"cut {cut.number} ({cut.said}): U-Boot would start {cut.order}: {store.variables(board.folder)}")
    board.settle()
    board.power_on()
    return ready


def written(monitor: Monitor) -> int:
    for disk in monitor.ask("query-blockstats"):
        if disk.get("device") == "disk":
            return disk["stats"]["wr_bytes"]
    raise Late("QEMU does not say what was written")


def run(bench: Bench, like: Board, count: int, seed: int, jobs: int) -> list[Cut]:
    """All cuts, on `jobs` machines that begin as `like` is."""
    first = bench.machine("machine-0", like)
    bench.begin(first)
    course = Course()
    watched(first, course, bench.limit)
    print(f"   undisturbed: {course.written >> 20} MiB and {course.changes} changes of the boot store, installed after "
          f"{course.installed:.1f} s, down after {course.restarted:.1f} s, good after {course.good:.1f} s\n   {HEAD}", flush=True)
    cuts, stop = plan(count, seed, course), threading.Event()

    def machine(job: int) -> None:
        board, floor = (first, "3.0.0") if job == 0 else (bench.machine(f"machine-{job}", like), "2.0.0")
        try:
            for cut in cuts[job::jobs]:
                if stop.is_set():
                    return
                floor = max(floor, bench.cut(board, cut, course, floor))
                print("   " + cut.row(), flush=True)
        except BaseException:
            stop.set()
            raise
        finally:
            board.pull_the_plug()

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for _ in pool.map(machine, range(jobs)):
            pass
    return cuts
