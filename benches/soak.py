#!/usr/bin/env python3
"""A soak: the daemon under changes, kills and a store in moods, and then an independent account of every version.

  just soak                                  20 minutes: 50 changes a second, kill -9 every 30 s, the store in other moods
  just soak --minutes 2 --changes 200

The store keeps all versions. At the end every version that was ever visible must be a state that its file had, every
delete marker must be of a file that was not there, nothing of others may have been touched, no upload may be open, and the
bucket must equal the directory, file by file. The account is this script's own: it knows what it wrote, and reads the
bucket; it asks s3mirrord nothing. Needs Python 3.9. Ends with 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

from sidebyside import machine
from sidebyside.eye import Eye
from sidebyside.measure import Failed
from sidebyside.road import Moody
from sidebyside.store import Embedded

REPOSITORY = Path(__file__).resolve().parent.parent
MIB = 1 << 20
S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
GRACE = 2.0
"""`delete_grace`, in seconds."""
SLACK = 1.0
"""Seconds by which the times of the server and of this script may differ."""


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


class Tree:
    """A directory, all states that each of its files ever had, and when there was one."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.dice = root, random.Random(seed)
        self.files: dict[str, bytes] = {}
        self.states: dict[str, set[str]] = defaultdict(set)
        self.there: dict[str, list[list[float]]] = defaultdict(list)
        self.done: Counter[str] = Counter()

    def name(self) -> str:
        d = self.dice
        return f"d{d.randrange(6)}/" * d.randrange(3) + f"f{d.randrange(120)}" + d.choice(["", ".log", " ü", "+%"])

    def any(self) -> str | None:
        return self.dice.choice(list(self.files)) if self.files else None

    def is_(self, name: str, body: bytes) -> None:
        """What it is from now on."""
        if name not in self.files:
            self.there[name].append([time.time(), float("inf")])
        self.files[name] = body
        self.states[name].add(md5(body))

    def is_gone(self, name: str) -> bytes:
        self.there[name][-1][1] = time.time()
        return self.files.pop(name)

    def body(self) -> bytes:
        d = self.dice
        return d.randbytes(d.randrange(9, 13) * MIB if d.random() < 0.004 else int(d.lognormvariate(8, 1.5)) % 60_000)

    def path(self, name: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def change(self) -> None:
        """One change, each of its steps a state of its own."""
        kinds = ["write", "save", "append", "patch", "cut", "delete", "rename", "move", "touch"]
        kind = self.dice.choices(kinds, [20, 20, 15, 10, 5, 14, 10, 1, 5])[0]
        old = self.any()
        if kind in ("write", "save") or old is None:
            kind, name, body = kind if kind in ("write", "save") else "write", self.name(), self.body()
            if any(name.startswith(f"{other}/") for other in self.files) or (self.root / name).is_dir():
                return
            getattr(self, kind)(name, body)
        else:
            getattr(self, kind)(old)
        self.done[kind] += 1

    def write(self, name: str, body: bytes) -> None:
        path = self.path(name)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self.is_(name, b"")
        self.put(fd, name, body, 0)
        os.close(fd)

    def put(self, fd: int, name: str, piece: bytes, at: int) -> None:
        """Writes a piece, however many write(2) it takes, each a state."""
        while piece:
            part = piece[: 1 * MIB]
            body = self.files[name]
            after = body[:at] + part + body[at + len(part) :]
            self.states[name].add(md5(after))
            done = os.pwrite(fd, part, at)
            if done != len(part):
                raise Failed(f"only {done} of {len(part)} bytes were written")
            self.is_(name, after)
            at, piece = at + done, piece[done:]

    def save(self, name: str, body: bytes) -> None:
        aside = f"{name}.tmp"
        self.write(aside, body)
        self.to(aside, name)

    def to(self, old: str, new: str) -> None:
        """Renames a file."""
        self.states[new].add(md5(self.files[old]))
        os.rename(self.root / old, self.path(new))
        self.is_(new, self.is_gone(old))

    def append(self, name: str) -> None:
        fd = os.open(self.root / name, os.O_WRONLY)
        self.put(fd, name, self.dice.randbytes(1 + self.dice.randrange(4000)), len(self.files[name]))
        os.close(fd)

    def patch(self, name: str) -> None:
        size = len(self.files[name])
        fd = os.open(self.root / name, os.O_WRONLY)
        at = self.dice.randrange(size + 1)
        self.put(fd, name, self.dice.randbytes(min(size - at, 1 + self.dice.randrange(2000))), at)
        os.close(fd)

    def cut(self, name: str) -> None:
        body = self.files[name][: self.dice.randrange(len(self.files[name]) + 1)]
        self.states[name].add(md5(body))
        os.truncate(self.root / name, len(body))
        self.is_(name, body)

    def delete(self, name: str) -> None:
        os.unlink(self.root / name)
        self.is_gone(name)

    def rename(self, name: str) -> None:
        new = self.name()
        taken = (self.root / new).is_dir() or any(new.startswith(f"{other}/") for other in self.files)
        if new != name and not taken:
            self.to(name, new)

    def move(self, name: str) -> None:
        """Moves a whole directory."""
        old = name.split("/")[0]
        new = f"moved{self.dice.randrange(4)}"
        if "/" not in name or (self.root / new).exists():
            return
        inside = [file for file in self.files if file.startswith(f"{old}/")]
        for file in inside:
            self.states[new + file[len(old) :]].add(md5(self.files[file]))
        os.rename(self.root / old, self.root / new)
        for file in inside:
            self.is_(new + file[len(old) :], self.is_gone(file))

    def touch(self, name: str) -> None:
        os.chmod(self.root / name, self.dice.choice([0o600, 0o644, 0o755]))
        os.utime(self.root / name)

    def was_there_all_the_time(self, name: str, begin: float, end: float) -> bool:
        return any(born <= begin and end <= died for born, died in self.there[name])


class Daemon:
    """`run`, which is killed again and again."""

    def __init__(self, words: argparse.Namespace, store: Embedded, endpoint: str, root: Path) -> None:
        self.words, self.log = words, open(words.work / "log", "ab")
        self.config, self.kills, self.process = words.work / "config.toml", 0, None
        self.config.touch(0o600)
        self.config.write_text(f"""
state_dir = "{words.work / "state"}"
[s3]
region = "us-east-1"
endpoint_url = "{endpoint}"
access_key_id = "{store.access_key}"
secret_access_key = "{store.secret_key}"
[[mirror]]
name = "soak"
root = "{root}"
bucket = "{store.bucket}"
prefix = "soak/"
delete_grace = "{GRACE}s"
max_delete = "off"
debounce = {{ quiet = "500ms", longest = "5s" }}
rescan = "20s"
relist = "60s"
""")

    def command(self, *verb: str) -> list[str]:
        return [str(self.words.binary), "--config", str(self.config), *verb]

    def begin(self) -> None:
        self.process = subprocess.Popen(self.command("run"), stdout=self.log, stderr=self.log, env={})

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        if self.process.wait() != -signal.SIGKILL:
            raise Failed(f"the daemon had ended by itself with {self.process.returncode}")
        self.kills += 1

    def stop(self) -> None:
        self.process.terminate()
        if self.process.wait(timeout=60) != 0:
            raise Failed(f"the daemon ended with {self.process.returncode}")

    def once(self) -> int:
        return subprocess.run(self.command("once"), stdout=self.log, stderr=self.log, env={}).returncode


def versions(eye: Eye) -> tuple[list[ElementTree.Element], list[ElementTree.Element]]:
    """All versions, and all delete markers."""
    found, markers, words = [], [], {"versions": ""}
    while True:
        page = ElementTree.fromstring(eye.ask("GET", "", words)[1])
        found += page.findall(f"{S3}Version")
        markers += page.findall(f"{S3}DeleteMarker")
        if page.findtext(f"{S3}IsTruncated") != "true":
            return found, markers
        words |= {
            "key-marker": page.findtext(f"{S3}NextKeyMarker"),
            "version-id-marker": page.findtext(f"{S3}NextVersionIdMarker") or "",
        }


def account(tree: Tree, eye: Eye, foreign: dict[str, bytes]) -> tuple[list[str], str]:
    """What is wrong, and how much was looked at."""
    wrong, latest = [], {}
    found, markers = versions(eye)
    of_ours = 0
    for version in found:
        key, tag = version.findtext(f"{S3}Key"), version.findtext(f"{S3}ETag").strip('"')
        if version.findtext(f"{S3}IsLatest") == "true":
            latest[key] = tag
        if key in foreign:
            if tag != md5(foreign[key]):
                wrong.append(f"the object {key} of somebody else was replaced")
            continue
        if not key.startswith("soak/"):
            wrong.append(f"{key} was written, which is outside of the prefix")
        if key.startswith("soak/.s3mirrord/") or not key.startswith("soak/"):
            continue
        of_ours += 1
        if "-" in tag:
            body = eye.ask("GET", key, {"versionId": version.findtext(f"{S3}VersionId")})[1]
            tag = md5(body)
            if version.findtext(f"{S3}IsLatest") == "true":
                latest[key] = tag
        if tag not in tree.states[key.removeprefix("soak/")]:
            wrong.append(f"a version of {key} ({tag}) is none that the file ever was")
    for marker in markers:
        key, name = marker.findtext(f"{S3}Key"), marker.findtext(f"{S3}Key").removeprefix("soak/")
        at = datetime.fromisoformat(marker.findtext(f"{S3}LastModified").replace("Z", "+00:00")).timestamp()
        if key in foreign:
            wrong.append(f"the object {key} of somebody else was deleted")
        elif not key.startswith("soak/.s3mirrord/") and tree.was_there_all_the_time(name, at - GRACE - SLACK, at + SLACK):
            wrong.append(f"{key} was deleted while its file was there")
    for name, body in tree.files.items():
        if latest.pop(f"soak/{name}", None) != md5(body):
            wrong.append(f"{name} is not in the bucket as it is on the disk")
        if (tree.root / name).read_bytes() != body:
            wrong.append(f"{name} is not on the disk as it was written")
    rest = [key for key in latest if key not in foreign and not key.startswith("soak/.s3mirrord/")]
    wrong += [f"{key} is in the bucket, and there is no such file" for key in rest]
    wrong += [f"the object {key} of somebody else is gone" for key in foreign if key not in latest]
    if left := eye.open_uploads():
        wrong.append(f"{left} uploads were left open")
    return wrong, f"{of_ours:,} versions and {len(markers):,} delete markers of {len(tree.states):,} names"


def soak(words: argparse.Namespace, store: Embedded) -> str:
    root, eye = words.work / "root", Eye(store)
    root.mkdir()
    on = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    if eye.ask("PUT", "", {"versioning": ""}, on)[0] != 200:
        raise Failed("the store does not keep versions")
    foreign = {key: key.encode() for key in ["soak/not ours", "soak/d0/not ours", "soak", "soak-2/x", "other"]}
    for key, body in foreign.items():
        eye.put(key, body)
    road, tree = Moody(store.endpoint, 0.3), Tree(root, words.seed)
    daemon = Daemon(words, store, road.endpoint, root)
    for _ in range(1000):
        tree.change()
    daemon.begin()
    begun, changes, next_kill, next_mood = time.monotonic(), 0, words.kill, 7.0
    end = words.minutes * 60
    while (now := time.monotonic() - begun) < end:
        if now >= next_kill:
            daemon.kill()
            daemon.begin()
            next_kill = now + words.kill
        if now >= next_mood:
            mood = "well" if road.mood != "well" else tree.dice.choice(["slow", "deaf", "away"])
            road.turn(mood)
            next_mood = now + (4 + tree.dice.random() * 8)
        while changes < now * words.changes:
            tree.change()
            changes += 1
        time.sleep(0.005)
    road.turn("well")
    daemon.stop()
    codes = [daemon.once(), daemon.once()]
    before = store.requests()
    codes.append(daemon.once())
    wrote = {n: c - before.get(n, 0) for n, c in store.requests().items() if c > before.get(n, 0)}
    wrong, looked_at = account(tree, eye, foreign)
    if codes != [0, 0, 0]:
        wrong.append(f"the passes at the end gave {codes}")
    if odd := set(wrote) - {"ListObjectsV2", "GetObject"}:
        wrong.append(f"a pass over what is in sync sent {odd}")
    told = (words.work / "log").read_text(errors="replace")
    if "panicked" in told:
        wrong.append("something panicked")
    text = f"""{words.minutes:g} minutes, {changes:,} changes ({", ".join(f"{n} {c:,}" for n, c in sorted(tree.done.items()))}),
{daemon.kills} times kill -9; of {sum(road.met.values()):,} requests {road.met["slow"]:,} were refused with SlowDown and of {road.met["deaf"]:,}
the answer was lost, and the store was away in between. {len(tree.files):,} files at the end. Seed {words.seed}.
The account: {looked_at}; {len(wrong)} violations."""
    if wrong:
        shutil.copy(words.work / "log", "soak.log")
        raise Failed(text + "\n" + "\n".join(wrong[:40]) + "\nwhat it said is in soak.log")
    return text


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release/s3mirrord"
    parser.add_argument("--binary", type=Path, default=default, help="[target/release/s3mirrord]")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "target/soak", help="is removed")
    parser.add_argument("--minutes", type=float, default=20, help="[20]")
    parser.add_argument("--changes", type=float, default=50, help="a second [50]")
    parser.add_argument("--kill", type=float, default=30, help="seconds between kills [30]")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the changes [the time]")
    words = parser.parse_args()
    words.binary, words.work = words.binary.resolve(), words.work.resolve()
    if not words.binary.is_file():
        parser.error(f"{words.binary} is not there; `cargo build --release` makes it, or say --binary")
    return words


def main() -> int:
    words = arguments()
    shutil.rmtree(words.work, ignore_errors=True)
    words.work.mkdir(parents=True)
    before = machine.load()
    store = Embedded(words.binary, words.work)
    try:
        print(f"{soak(words, store)}\n\n{machine.when(before)}")
    except Failed as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    finally:
        store.stop()
        shutil.rmtree(words.work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
