"""Builds a repository with python-tuf:  build.py FOLDER

Keys of every kind that the specification names, a threshold of two kinds, a delegation by paths and one by hash prefixes, and a
root whose keys were changed once.
"""

import sys
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

folder = Path(sys.argv[1])
(folder / "metadata").mkdir(parents=True)
(folder / "targets").mkdir()
expires = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=7)
rsa, ecdsa, ed25519 = CryptoSigner.generate_rsa(), CryptoSigner.generate_ecdsa(), CryptoSigner.generate_ed25519()
first, online = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ecdsa()


def write(name: str, metadata: Metadata, signers: list) -> bytes:
    metadata.signatures.clear()
    for signer in signers:
        metadata.sign(signer, append=True)
    data = metadata.to_bytes()
    (folder / "metadata" / name).write_bytes(data)
    return data


def meta(version: int, data: bytes) -> MetaFile:
    return MetaFile.from_data(version, data, ["sha256", "sha512"])


def add(targets: Targets, path: str, data: bytes, algorithms: list) -> None:
    entry = TargetFile.from_data(path, data, algorithms)
    entry.unrecognized_fields["custom"] = {"number": 7, "name": "é \"quoted\" \\ and more"}
    targets.targets[path] = entry
    at, _, name = path.rpartition("/")
    file = folder / "targets" / at / f"{entry.hashes[algorithms[0]]}.{name}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


root = Root(expires=expires, consistent_snapshot=True)
root.add_key(first.public_key, Root.type)
for role in (Timestamp.type, Snapshot.type):
    root.add_key(online.public_key, role)
for signer in (rsa, ecdsa, ed25519):
    root.add_key(signer.public_key, Targets.type)
root.roles[Targets.type].threshold = 3
write("1.root.json", Metadata(root), [first])
root.version = 2
root.revoke_key(first.public_key.keyid, Root.type)
for signer in (rsa, ed25519):
    root.add_key(signer.public_key, Root.type)
root.roles[Root.type].threshold = 2
root.unrecognized_fields["x-note"] = "kept by whoever does not know it"
write("2.root.json", Metadata(root), [first, rsa, ed25519])

apps, hashed = Targets(expires=expires), Targets(expires=expires)
add(apps, "apps/one/engawa", b"by a delegate", ["sha256"])
add(hashed, "hashed/file", b"by hash", ["sha512"])
top = Targets(expires=expires)
add(top, "engawa/x86_64/1.0.0/manifest.json", b"{}", ["sha256", "sha512"])
roles = {
    "apps": DelegatedRole("apps", [ecdsa.public_key.keyid], 1, True, ["apps/*/*"]),
    "hashed": DelegatedRole("hashed", [rsa.public_key.keyid], 1, False, None, [sha256(b"hashed/file").hexdigest()[:8]]),
}
keys = {signer.public_key.keyid: signer.public_key for signer in (rsa, ecdsa)}
top.delegations = Delegations(keys, roles)
snapshot = Snapshot(expires=expires)
for name, targets, signers in (("targets", top, [rsa, ecdsa, ed25519]), ("apps", apps, [ecdsa]), ("hashed", hashed, [rsa])):
    snapshot.meta[f"{name}.json"] = meta(1, write(f"1.{name}.json", Metadata(targets), signers))
data = write("1.snapshot.json", Metadata(snapshot), [online])
write("timestamp.json", Metadata(Timestamp(expires=expires, snapshot_meta=meta(1, data))), [online])
