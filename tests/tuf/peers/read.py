"""Reads a repository with python-tuf's client:  read.py REPOSITORY STATE TARGET...

Prints a line for each target: its path, its SHA-256. Trusts REPOSITORY/metadata/1.root.json where STATE is new.
"""

import sys
import threading
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tuf.ngclient import Updater


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


repository, state = Path(sys.argv[1]), Path(sys.argv[2])
server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=repository))
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}"
new = not state.exists()
state.mkdir(exist_ok=True)
(state / "targets").mkdir(exist_ok=True)
updater = Updater(
    metadata_dir=str(state),
    metadata_base_url=f"{base}/metadata/",
    target_dir=str(state / "targets"),
    target_base_url=f"{base}/targets/",
    bootstrap=(repository / "metadata" / "1.root.json").read_bytes() if new else None,
)
updater.refresh()
for path in sys.argv[3:]:
    info = updater.get_targetinfo(path)
    if info is None:
        sys.exit(f"no target {path}")
    data = Path(updater.download_target(info)).read_bytes()
    print(path, sha256(data).hexdigest())
