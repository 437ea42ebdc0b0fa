#!/usr/bin/env python3
"""`make image-test`: the real image on a board in QEMU, with the cloud's real program on this machine.

WHAT    which parts, of same,boot,update,broken,refused,kills (all by default), app and link; all but same begin with boot. app rolls
        releases of the application out to the board, link system images (not together with update,broken,refused,kills, which
        begin with a stick's)
BROKEN  which broken images (kernel,no-init,panics,no-data,unhealthy)
KILLS   how often the plug is pulled in the middle of an installation (2; the long form is 50)
CUTS    how often it is pulled in the middle of one over the link (3, with link)
SEED    of the moments at which that happens (1)
JOBS    how many machines at a time have their plug pulled (1; each takes 600 MB of memory and both processors)
CLOUD   the cloud's program (target/debug/engawa-cloud)
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import application  # noqa: E402
import kills  # noqa: E402
import overlink  # noqa: E402
import variants  # noqa: E402
from board import Board, Late, Stick, free_port  # noqa: E402

CACHE = pathlib.Path(os.environ.get("CACHE", variants.ROOT / "target/image")).resolve()
CLOUD = pathlib.Path(os.environ.get("CLOUD", variants.ROOT / "target/debug/engawa-cloud")).resolve()
USUAL = ["same", "boot", "update", "broken", "refused", "kills"]
ALL = [*USUAL, "app", "link"]
# Under TCG on two busy cores a start takes a minute; whoever has more of either waits less.
START = float(os.environ.get("START", "400"))
INSTALL = 400.0
CONFIG = """# Written by the image's tests.
[property]
id = "grand"
name = "Grand Hotel"
zone = "Europe/Berlin"
currency = "EUR"
rooms = ["101", "102"]

[store]
dir = "/var/lib/engawa"

[api]
listen = "0.0.0.0:8480"
allow_remote = true
socket = "/run/engawa/engawa.sock"

[climate]
comfort_c = 22.0
eco_heating_c = 18.0
eco_cooling_c = 26.0
season = "heating"
guest_hold_s = 7200

[privacy]
retention_days = 30

[cloud]
address = "10.0.2.2:{port}"
identity_dir = "/var/lib/engawa/identity"
"""
# With releases of the application: the shop's root on the stick, and a PMS whose loss is noticed.
UPDATES = """
[pms]
address = "10.0.2.2:{pms}" # pms

[update]
dir = "/var/lib/engawa-app"
root = "root.json"
hardware = "virt"
rate_kib_s = 0
ask_every_s = 5
trial_s = 120
check_in = "any"
audit_margin_min = 0
reserve_mib = 16
"""
times: list[tuple[str, float]] = []


def told(what: str, seconds: float) -> None:
    times.append((what, seconds))
    print(f"   {what}: {seconds:.1f} s", flush=True)


def check(that: bool, what: str) -> None:
    if not that:
        raise Late(what)
    print(f"   {what}", flush=True)


class Cloud:
    """The cloud's real program, for a gateway that reaches this machine as 10.0.2.2."""

    def __init__(self, folder: pathlib.Path):
        self.folder, self.port = folder, free_port()
        self.command("init", "--name", "10.0.2.2")
        self.log = open(folder.parent / "cloud.log", "ab")
        self.server = subprocess.Popen(
            [CLOUD, "serve", "--dir", folder, "--listen", f"127.0.0.1:{self.port}"],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        assert self.server.stdout
        line = self.server.stdout.readline()
        if "listening" not in line:
            raise Late(f"the cloud does not serve: see {folder.parent / 'cloud.log'}")

    def command(self, verb: str, *words: str) -> str:
        done = subprocess.run([CLOUD, verb, *words], capture_output=True, text=True,
                              env={**os.environ, "ENGAWA_CLOUD_DIR": str(self.folder)})
        if done.returncode != 0:
            raise Late(f"engawa-cloud {verb}: {done.stderr}")
        return done.stdout

    def gateway(self) -> dict:
        return json.loads(self.command("gateways", "--json").splitlines()[0])

    def wait_for(self, what: str, seconds: float) -> None:
        """Until the gateway's `what` is neither false nor 0."""
        until = time.monotonic() + seconds
        while not self.gateway()[what]:
            if time.monotonic() > until:
                raise Late(f"the gateway's `{what}` has not come: {self.gateway()}")
            time.sleep(0.5)

    def stop(self) -> None:
        self.server.terminate()
        self.server.wait(20)


def boot(board: Board, cloud: Cloud, folder: pathlib.Path, shop: application.Shop | None) -> None:
    """A box as it comes: a stick with configuration and claim code, power, nothing else."""
    print("== first start, enrolment by a stick", flush=True)
    code = cloud.command("claim", "--property", "grand", "--gateway", "grand-1").strip()
    config = CONFIG.format(port=cloud.port)
    files = {"claim-code": (code + "\n").encode()}
    if shop:
        config += UPDATES.format(pms=application.Pms().port)
        files["root.json"] = shop.root()
    stick = Stick(folder / "stick.img", {"engawa.toml": config.encode(), **files})
    board.power_on(stick)
    said = board.wait(r"setup: (the configuration is taken|engawa.toml has faults.*)", START)[1]
    if "taken" not in said:
        board.wait(r"the stick can be taken out", START)
        raise Late(stick.read("result.txt") or said)
    told("from power to the health endpoint, first start (data partition made)", board.wait_healthy(START))
    board.wait(r"setup: done", START)
    board.wait(r"the stick can be taken out", START)
    cloud.wait_for("connected", START)
    told("from power to connected over QUIC", board.since_start())
    board.wait(r"system image 1\.0\.0 is good, slot A", START)
    board.take_out()
    result = stick.read("result.txt") or ""
    check("enrolled as `grand-1`" in result, "the stick's result.txt says what was joined")
    check(stick.read("claim-code") is None, "the claim code on the stick is marked as used")
    cloud.wait_for("rows", START)
    print("   rows of the journal have come", flush=True)
    check("ttyAMA0 login" not in board.text(), "nobody is asked to log in at the console")


def same() -> None:
    """The same inputs give the same bytes: every part in the manifest."""
    print("== the same image twice", flush=True)
    one, two = ((variants.make("first", CACHE, again) / "manifest.json").read_text() for again in (False, True))
    check(one == two, "two builds of an image have the same manifest: root file system, initramfs, kernel, boot loader")
    shutil.rmtree(CACHE / "tested/first-again")


def app(board: Board, cloud: Cloud, shop: application.Shop) -> None:
    """Releases of the application, rolled out by the cloud: a good one stays, the others come back with their reason."""
    print("== updates of the application, in the same image", flush=True)
    takes_part(board, cloud)
    plan = [("0.2.0", "good", "confirmed", ""), ("0.3.0", "panics", "rolled_back", "101"),
            ("0.4.0", "loses-the-pms", "rolled_back", "link pms"), ("0.5.0", "eats-memory", "rolled_back", "memory")]
    for number, (version, kind, end, sign) in enumerate(plan, start=2):
        shop.release(version, number, kind)
        begun = time.monotonic()
        shop.roll_out(version)
        reason = shop.ended(board, version, end, START * 2)
        told(f"application {kind}: rolled out until {end}", time.monotonic() - begun)
        check(sign in reason, f"its reason: {reason or 'none is needed'}")
        board.wait_healthy(START)
    check(board.text().count("Starting kernel") <= 1, "the machine was not started anew for any of them")


def link(board: Board, cloud: Cloud, shop: application.Shop, cuts: int, seed: int) -> None:
    """System images, rolled out by the cloud over QUIC: a good one stays, one whose agent is never healthy comes back by itself, and
    an installation goes on where the plug was pulled."""
    print("== system images over the link", flush=True)
    takes_part(board, cloud)
    way = overlink.Way()
    for version, name, number, end, sign in [("2.0.0", "good", 2, "confirmed", ""),
                                             ("2.4.0", "unhealthy", 3, "rolled_back", "not healthy within")]:
        shop.system(version, number, 2, variants.make(name, CACHE) / "system.raucb")
        begun = time.monotonic()
        shop.roll_out(version, "--system")
        if name == "good":
            overlink.watched(board, shop, version, way, START)
        reason = shop.ended(board, version, end, START * 4)
        told(f"system image {name} over the link: rolled out until {end}", time.monotonic() - begun)
        check(sign in reason, f"its reason: {reason or 'none is needed'}")
        steps = [step for step, _ in shop.steps(version)]
        check({"downloading", "ready", "switching"} <= set(steps), f"its steps: {', '.join(steps)}")
        board.wait_healthy(START)
    fleet = cloud.command("rollout", "fleet", "--gateways", "--json")
    check('"2.0.0"' in fleet, "the cloud knows which system image runs")
    if cuts:
        cuts_over_link(board, cloud, shop, way, cuts, seed)


def cuts_over_link(board: Board, cloud: Cloud, shop: application.Shop, way: overlink.Way, count: int, seed: int) -> None:
    """The plug is pulled in the middle of installations over the link: each rollout comes to its end by itself all the same."""
    print(f"== power cuts in the middle of an installation over the link: {count}, seed {seed}", flush=True)
    print(f"   undisturbed: fetched in {way.fetched:.1f} s, then {way.written >> 20} MiB and {way.changes} changes of the boot store, "
          f"installed after {way.installed:.1f} s, down after {way.restarted:.1f} s, good after {way.good:.1f} s\n   {overlink.HEAD}", flush=True)
    bench = overlink.Bench(board, shop, lambda *words: cloud.command("rollout", *words), way, CACHE, START)
    done = []
    for cut in overlink.plan(count, seed, way):
        bench.cut(cut)
        print(f"   {cut.row()}", flush=True)
        done.append(cut)
    check(len(done) == count, "after every cut a complete image started, the installation went on, and its rollout is done")
    told("power cut over the link: from power to healthy, the longest", max(cut.start for cut in done))
    told("power cut over the link: from power to the rollout's end, the longest", max(cut.end for cut in done))


def takes_part(board: Board, cloud: Cloud) -> None:
    """Until the hotel's links are up, and the gateway has asked what it is to run."""
    until = time.monotonic() + START
    while not any(link["id"] == "pms" and link["up"] for link in json.loads(board.get("/api/status"))["links"]):
        if time.monotonic() > until:
            raise Late("the link to the PMS does not come up")
        time.sleep(0.5)
    # A gateway takes part once it has asked for the first time, which it does when it is connected.
    while "0.1.0" not in cloud.command("rollout", "fleet", "--gateways", "--json"):
        if time.monotonic() > until:
            raise Late("the gateway has not asked for updates")
        time.sleep(0.5)


def install(board: Board, folder: pathlib.Path, bundle: pathlib.Path, name: str) -> Stick:
    stick = Stick(folder / "update.img", {name: bundle})
    board.forget()
    board.plug_in(stick)
    return stick


def update(board: Board, cloud: Cloud, folder: pathlib.Path) -> None:
    """A good image from a stick into the other slot."""
    print("== a system update", flush=True)
    bundle = variants.make("good", CACHE) / "system.raucb"
    begun = time.monotonic()
    install(board, folder, bundle, "2.raucb")
    board.wait(r"is installed: the machine starts anew", INSTALL)
    told("bundle installed (checked, written, flushed)", time.monotonic() - begun)
    board.wait(r"slot B, tries left: 2", START)
    down = time.monotonic()
    board.wait(r"system image 2\.0\.0 is good, slot B", START)
    told("from the boot loader to the new image being good", time.monotonic() - down)
    told("whole system update", time.monotonic() - begun)
    cloud.wait_for("connected", START)
    board.take_out()
    check(cloud.gateway()["connected"], "the same gateway is connected again: its identity and data have stayed")


def refused(board: Board, folder: pathlib.Path) -> None:
    """What must not be installed."""
    print("== bundles that are refused", flush=True)
    good = variants.make("good", CACHE) / "system.raucb"
    first = variants.make("first", CACHE) / "system.raucb"
    variants.foreign(good, CACHE / "keys", folder / "foreign.raucb")
    variants.damaged(good, folder / "damaged.raucb")
    for name, bundle, why in [
        ("foreign.raucb", folder / "foreign.raucb", "signed by a stranger"),
        ("damaged.raucb", folder / "damaged.raucb", "a byte changed on its way"),
        ("older.raucb", first, "older than the floor that the installed image has set"),
    ]:
        stick = install(board, folder, bundle, name)
        board.wait(r"setup: NOT everything was done", INSTALL)
        board.wait(r"the stick can be taken out", START)
        board.take_out()
        said = [line for line in (stick.read("result.txt") or "").splitlines() if "refused" in line]
        check(bool(said), f"{why}: {said[0] if said else stick.read('result.txt')}")
    board.get("/healthz")


def falls_back(board: Board, folder: pathlib.Path, name: str, signs: list[str]) -> None:
    bundle = variants.make(name, CACHE) / "system.raucb"
    install(board, folder, bundle, f"{name}.raucb")
    board.wait(r"is installed: the machine starts anew", INSTALL)
    begun = time.monotonic()
    slot = board.wait(r"engawa: slot ([AB]), tries left", START)[1]
    other = "B" if slot == "A" else "A"
    for sign in signs:
        board.wait(sign.replace("SLOT", slot).replace("OTHER", other), START)
    board.wait(rf"system image 2\.0\.0 is good, slot {other}", START)
    told(f"{name}: from its first start to the old image being healthy again", time.monotonic() - begun)
    tries = board.text().count(f"engawa: slot {slot}, tries left")
    print(f"   starts of the broken image: {tries}", flush=True)
    board.take_out()


def broken(board: Board, folder: pathlib.Path) -> None:
    """Images that do not come up, each in its way."""
    print("== broken images come back by themselves", flush=True)
    signs = {
        "kernel": [r"engawa: slot SLOT does not start"],
        "no-init": [r"Kernel panic", r"slot OTHER, tries left"],
        "panics": [r"Kernel panic", r"slot OTHER, tries left"],
        "no-data": [r"the system does not come up", r"slot OTHER, tries left"],
        "unhealthy": [r"the agent is not healthy after \d+ s: slot SLOT is left"],
    }
    for name in os.environ.get("BROKEN", ",".join(signs)).split(","):
        falls_back(board, folder, name, signs[name])


def power_cuts(board: Board, folder: pathlib.Path, count: int, seed: int, jobs: int) -> None:
    """The plug is pulled in the middle of installations; afterwards a complete image starts, every time, and none below the floor:
    the image that runs (2.0.0) has set it above the one before (1.0.0)."""
    print(f"== power cuts in the middle of an installation: {count}, seed {seed}, {jobs} at a time", flush=True)
    images = {version: variants.make(name, CACHE) for name, version in [("first", "1.0.0"), ("good", "2.0.0"), ("next", "3.0.0")]}
    board.switch_off()
    bench = kills.Bench(folder, images["3.0.0"] / "system.raucb", images, START)
    cuts = kills.run(bench, board, count, seed, jobs)
    print(f"\n   {kills.HEAD}")
    for cut in cuts:
        print(f"   {cut.row()}")
    check(all(cut.after for cut in cuts), "every cut left complete images alone to start, and the expected one started; after it ran: "
          + ", ".join(f"{what} {sum(cut.after == what for cut in cuts)} times" for what in sorted({cut.after for cut in cuts})))
    starts = sorted(cut.start for cut in cuts)
    told("power cut: from power to healthy, the median", starts[len(starts) // 2])
    told("power cut: from power to healthy, the longest", starts[-1])


def main() -> None:
    if sys.argv[1:]:
        sys.exit(__doc__)
    what = os.environ.get("WHAT", ",".join(USUAL)).split(",")
    if unknown := set(what) - set(ALL):
        sys.exit(f"unknown in WHAT: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    image = variants.make("first", CACHE)
    if "same" in what:
        try:
            same()
        except Late as late:
            sys.exit(f"FAILED: {late}")
    if what == ["same"]:
        return
    folder = pathlib.Path(tempfile.mkdtemp(prefix="engawa-image-test-"))
    cloud = Cloud(folder / "cloud")
    agent = pathlib.Path(os.environ.get("ENGAWA", variants.ROOT / "target/out/arm64/engawa"))
    shop = application.Shop(CLOUD, folder / "shop", folder / "cloud", agent) if {"app", "link"} & set(what) else None
    board = Board(image, folder / "board")
    failed = True
    try:
        boot(board, cloud, folder, shop)
        if shop and "app" in what:
            app(board, cloud, shop)
        if shop and "link" in what:
            link(board, cloud, shop, int(os.environ.get("CUTS", "3")), int(os.environ.get("SEED", "1")))
        if {"update", "refused", "broken", "kills"} & set(what):
            update(board, cloud, folder)
        if "broken" in what:
            broken(board, folder)
        if "refused" in what:
            refused(board, folder)
        if "kills" in what:
            power_cuts(board, folder, *(int(os.environ.get(name, least)) for name, least in [("KILLS", "2"), ("SEED", "1"), ("JOBS", "1")]))
        failed = False
    except Late as late:
        print(f"FAILED: {late}\nconsole, disk and logs are in {folder}", file=sys.stderr)
    finally:
        board.pull_the_plug()
        cloud.stop()
    if failed:
        sys.exit(1)
    shutil.rmtree(folder)
    print("\nseconds  what")
    for what_, seconds in times:
        print(f"{seconds:7.1f}  {what_}")


if __name__ == "__main__":
    main()
