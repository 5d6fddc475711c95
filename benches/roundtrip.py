#!/usr/bin/env python3
"""A nasty tree at full size, up and back: is it what it was? Asked of the disk, by this script alone.

  just roundtrip                             100,000 small files, a sparse GiB, a file in parts, names from a fuzzer, ...
  just roundtrip --files 2000 --by ours,rclone

The tree is mirrored once to the embedded server and brought back by `s3mirrord restore`, by `rclone copy --metadata`, by
`aws s3 sync`, and by a script with boto3, each to an empty directory. Then type, bytes, mode, owner, time, extended attributes, targets of links and
which names are one file are compared, each as far as that tool can carry it (docs/COMPATIBILITY.md). Needs root, Python 3.9, and of the
others those that are to be tried. Ends with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import random
import shutil
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from sidebyside import clients
from sidebyside.measure import Failed, measure
from sidebyside.store import Embedded

REPOSITORY = Path(__file__).resolve().parent.parent
MIB = 1 << 20
QUOTE, NUL, SLASH, DOT = "\u201b", "\u2400", "\uff0f", "\uff0e"


@dataclass(frozen=True)
class Entry:
    """What is to come back of one name; None of what a tool does not carry."""

    kind: int
    """S_IFREG, S_IFLNK or S_IFDIR."""
    content: bytes
    """The digest of a file's bytes, or what a link leads to."""
    mode: int | None
    owner: tuple[int, int] | None
    time: int | None
    """Of modification, in nanoseconds."""
    xattrs: tuple[tuple[str, bytes], ...] | None
    one: bytes | None
    """The first name, in order, of the same file."""


Tree = dict[bytes, Entry]


def names(root: bytes, below: bytes = b"") -> Iterator[bytes]:
    """Every name below, relative to the root, a directory before what is in it."""
    with os.scandir(os.path.join(root, below)) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = os.path.join(below, entry.name)
            yield name
            if entry.is_dir(follow_symlinks=False):
                yield from names(root, name)


def digest(path: bytes) -> bytes:
    sha256 = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(MIB):
            sha256.update(piece)
    return sha256.digest()


def look(root: Path) -> Tree:
    """All that is below."""
    tree, first = {}, {}
    for name in names(os.fsencode(root)):
        path = os.path.join(os.fsencode(root), name)
        meta = os.lstat(path)
        kind = stat.S_IFMT(meta.st_mode)
        content = digest(path) if kind == stat.S_IFREG else b""
        if kind == stat.S_IFLNK:
            content = os.readlink(path)
        mine = [a for a in os.listxattr(path, follow_symlinks=False) if a.startswith(("user.", "system.posix_acl"))]
        xattrs = tuple((a, os.getxattr(path, a, follow_symlinks=False)) for a in sorted(mine))
        one = first.setdefault(meta.st_ino, name) if kind == stat.S_IFREG else name
        owner = (meta.st_uid, meta.st_gid)
        tree[name] = Entry(kind, content, stat.S_IMODE(meta.st_mode), owner, meta.st_mtime_ns, xattrs, one)
    return tree


class Planter:
    """Makes the tree."""

    def __init__(self, root: Path, files: int, sparse: int, seed: int) -> None:
        self.root, self.files, self.sparse = os.fsencode(root), files, sparse
        self.dice = random.Random(seed)

    def at(self, name: bytes) -> bytes:
        return os.path.join(self.root, name)

    def write(self, name: bytes, body: bytes) -> None:
        os.makedirs(os.path.dirname(self.at(name)), exist_ok=True)
        with open(self.at(name), "wb") as file:
            file.write(body)

    def plant(self) -> None:
        self.small()
        self.large()
        self.named()
        self.others()
        self.fuzzed(300)
        self.dressed()

    def small(self) -> None:
        for n in range(self.files):
            self.write(b"small/%03d/%06d.dat" % (n // 1000, n), b"%d " % n * self.dice.randrange(200))

    def large(self) -> None:
        """A sparse GiB with islands; what is just below, at and above sizes that parts have; zeros that are no hole."""
        with open(self.at(b"sparse"), "wb") as file:
            file.truncate(self.sparse)
            for _ in range(50):
                file.seek(self.dice.randrange(max(1, self.sparse - 5000)))
                file.write(self.dice.randbytes(self.dice.randrange(1, 4000)))
            file.truncate(self.sparse)
        for size in (0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 16 * MIB, 16 * MIB + 1, 40 * MIB + 3):
            self.write(b"sizes/%d" % size, self.dice.randbytes(size))
        self.write(b"sizes/zeros", bytes(3 * MIB))

    def named(self) -> None:
        odd = [b"caf\xe9", b"\xff\xfe", b"line\nfeed", b"\x01\x1b[2J", b"a b+%#?&'\"", b" edge ", b"...", b".x.", b"-rf", b"~"]
        odd += [f"{QUOTE}41".encode(), f"x{NUL}y".encode(), f"{SLASH}".encode(), f"{DOT}{DOT}".encode(), b"\\", b"a:*?<>|"]
        odd += ["öß 日本 \U0001f600".encode(), b"e\xcc\x81", b"\xc3\xa9", b"n" * 255, b"Case", b"case", b"%2e%2e", b"$(x)`y`;"]
        for name in odd:
            self.write(b"named/" + name, b"is " + name)
            self.write(b"named/in " + name[:200] + b"/f", name)
        self.write(b"a", b"beside a directory a-"), self.write(b"a-/x", b"y"), self.write(b"a.b/x", b"z")
        self.write(b"/".join([b"d%03d" % n for n in range(120)]), b"deep")

    def others(self) -> None:
        for name in (b"empty", b"hollow/inner/most", b"d.rclonelink", b"named/none \xff"):
            os.makedirs(self.at(name))
        targets = [b"a", b"/etc/passwd", b"no/such", b"..", b".", b"named/caf\xe9", b"x\ny", b"t" * 900, f"{QUOTE}".encode()]
        for n, target in enumerate(targets):
            os.symlink(target, self.at(b"link %d" % n))
        os.symlink(b"itself", self.at(b"itself"))
        os.symlink(b"named", self.at(b"hollow/x.rclonelink"))
        for n in range(5):
            self.write(b"one/%d a" % n, self.dice.randbytes(9 * MIB if n == 0 else 100))
            for other in range(n + 1):
                os.link(self.at(b"one/%d a" % n), self.at(b"one/%d b%d" % (n, other)))

    def fuzzed(self, count: int) -> None:
        for n in range(count):
            name = bytes(self.dice.randrange(1, 256) for _ in range(self.dice.randrange(1, 60))).replace(b"/", b"")
            path = self.at(b"fuzz/%d" % n + name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if n % 4 == 0:
                os.mkdir(path)
            elif n % 4 == 1:
                os.symlink(name or b"x", path)
            else:
                self.write(b"fuzz/%d" % n + name, name)

    def dressed(self) -> None:
        """Modes, owners, attributes; times last, the deepest first."""
        all_names = list(names(self.root))
        acl = struct.pack("<I", 2) + b"".join(
            struct.pack("<HHI", *one) for one in [(1, 6, ~0 & 0xFFFFFFFF), (2, 4, 1234), (4, 4, ~0 & 0xFFFFFFFF),
                                                  (16, 4, ~0 & 0xFFFFFFFF), (32, 0, ~0 & 0xFFFFFFFF)]
        )  # fmt: skip
        for name in all_names:
            path, draw = self.at(name), self.dice.random()
            is_link = os.path.islink(path)
            if draw < 0.05 or not name.startswith(b"small/"):
                os.chown(path, self.dice.choice([0, 1000, 65534, 4_000_000]), self.dice.choice([0, 77, 1000]), follow_symlinks=False)
                if not is_link:
                    special = self.dice.choice([0, 0, 0, 0o4000, 0o2000, 0o1000])
                    os.chmod(path, self.dice.choice([0o644, 0o600, 0o000, 0o755, 0o777, 0o444, 0o750, 0o501]) | special)
            if not is_link and (draw < 0.01 or not name.startswith(b"small/") and draw < 0.3):
                os.setxattr(path, "user.colour", self.dice.randbytes(self.dice.randrange(40)))
                os.setxattr(path, "user.\u00e9 \n", b"\x00\xff")
                if draw < 0.1:
                    os.setxattr(path, "system.posix_acl_access", acl)
        for name in sorted(all_names, key=lambda name: -name.count(b"/")):
            when = self.dice.randrange(-(10**17), 2 * 10**18)
            os.utime(self.at(name), ns=(when, when), follow_symlinks=False)


def spelled(name: bytes) -> str:
    """The key of a name: rclone's spelling."""
    parts = []
    for part in name.split(b"/"):
        out = ""
        for c in part.decode(errors="surrogateescape"):
            if "\udc80" <= c <= "\udcff":
                out += f"{QUOTE}{ord(c) - 0xDC00:02X}"
            else:
                out += QUOTE + c if c in (QUOTE, NUL, SLASH) else c
        parts.append("".join(QUOTE + c for c in out) if out in (DOT, DOT + DOT) else out)
    return "/".join(parts)


def as_keys(tree: Tree) -> Tree:
    """Files, and links as files, by their keys; of directories only what holds something is known."""
    out = {}
    for name, entry in tree.items():
        key = os.fsencode(spelled(name))
        if entry.kind == stat.S_IFREG:
            out[key] = bare(entry)
        elif entry.kind == stat.S_IFLNK:
            out[key + b".rclonelink"] = bare(replace(entry, kind=stat.S_IFREG, content=hashlib.sha256(entry.content).digest()))
    return out


def bare(entry: Entry) -> Entry:
    return replace(entry, mode=None, owner=None, time=None, xattrs=None, one=None)


def for_rclone(tree: Tree) -> Tree:
    """Names with a quote of its own it cannot have on disk; of links and directories it brings the kind; no special bits."""
    out = {}
    for name, entry in tree.items():
        if any(quote.encode() in name for quote in (QUOTE, NUL, SLASH, DOT)):
            continue
        if entry.kind == stat.S_IFREG:
            out[name] = replace(entry, mode=entry.mode & 0o777, xattrs=None, one=None)
        else:
            out[name] = bare(entry)
    return out


def files_alone(tree: Tree) -> Tree:
    return {name: bare(entry) for name, entry in tree.items() if entry.kind == stat.S_IFREG}


def everything(tree: Tree) -> Tree:
    return tree


def by_boto3(store: Embedded, prefix: str, to: Path) -> None:
    """All of it, by what docs/SEMANTICS.md says of keys and metadata."""
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        aws_access_key_id=store.access_key,
        aws_secret_access_key=store.secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, max_pool_connections=16),
    )
    root, later = os.fsencode(to), []

    def unspelled(key: str) -> bytes:
        parts = []
        for part in key.split("/"):
            out, rest = b"", part
            while rest:
                c, rest = rest[0], rest[1:]
                if c != QUOTE:
                    out += c.encode()
                elif rest[0] in (QUOTE, NUL, SLASH, DOT):
                    out, rest = out + rest[0].encode(), rest[1:]
                else:
                    out, rest = out + bytes([int(rest[:2], 16)]), rest[2:]
            parts.append(out)
        return b"/".join(parts)

    def bring(key: str) -> None:
        answer = client.get_object(Bucket=store.bucket, Key=key)
        meta, body = answer["Metadata"], answer["Body"]
        mode = int(meta["mode"], 8)
        name = unspelled(key.removeprefix(prefix).removesuffix("/"))
        if stat.S_ISLNK(mode):
            name = name.removesuffix(b".rclonelink")
        path = os.path.join(root, name)
        if stat.S_ISDIR(mode):
            os.makedirs(path, exist_ok=True)
            return later.append((path, mode, meta))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if stat.S_ISLNK(mode):
            os.symlink(body.read(), path)
            return dress(path, mode, meta)
        if answer["ContentLength"] < 8 * MIB:
            with open(path, "wb") as file:
                file.write(body.read())
        else:
            body.close()
            client.download_file(store.bucket, key, os.fsdecode(path))
        dress(path, mode, meta)

    def dress(path: bytes, mode: int, meta: dict[str, str]) -> None:
        os.chown(path, int(meta["uid"]), int(meta["gid"]), follow_symlinks=False)
        if not stat.S_ISLNK(mode):
            os.chmod(path, stat.S_IMODE(mode))
            if "s3mirrord-xattrs" in meta:
                data, at, out = base64.b64decode(meta["s3mirrord-xattrs"])[1:], 0, []
                while at < len(data):
                    n = int.from_bytes(data[at : at + 2], "big")
                    out.append(data[at + 2 : at + 2 + n])
                    at += 2 + n
                for attribute, value in zip(out[::2], out[1::2]):
                    os.setxattr(path, attribute, value)
        whole, _, part = meta["mtime"].partition(".")
        nanos = int((part + "0" * 9)[:9] or "0")
        nanos = int(whole) * 10**9 + (-nanos if whole.startswith("-") else nanos)
        os.utime(path, ns=(nanos, nanos), follow_symlinks=False)

    pages = client.get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix=prefix)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(bring, (key for key in keys if not key.startswith(f"{prefix}.s3mirrord/"))):
            pass
    for path, mode, meta in sorted(later, key=lambda one: -one[0].count(b"/")):
        dress(path, mode, meta)


def differences(want: Tree, have: Tree) -> list[str]:
    told = [f"{name!r} is missing" for name in sorted(set(want) - set(have))]
    told += [f"{name!r} is not of the tree" for name in sorted(set(have) - set(want))]
    for name in sorted(set(want) & set(have)):
        if want[name] != have[name]:
            both = zip(vars(want[name]).items(), vars(have[name]).values())
            told += [f"{name!r}: {field} is {got!r} and was {was!r}" for (field, was), got in both if was != got]
    return told


def kinds(tree: Tree) -> str:
    files = sum(entry.kind == stat.S_IFREG for entry in tree.values())
    links = sum(entry.kind == stat.S_IFLNK for entry in tree.values())
    twins = sum(entry.kind == stat.S_IFREG and entry.one != name for name, entry in tree.items())
    with_xattrs = sum(bool(entry.xattrs) for entry in tree.values())
    rest = f"{len(tree) - files - links:,} directories, {twins} further names of a file, {with_xattrs:,} entries with attributes"
    return f"{files:,} files, {links:,} links, {rest}"


def trial(words: argparse.Namespace, store: Embedded) -> int:
    """Prints what came of each tool. How many differences there are."""
    root, prefix, output = words.work / "root", "nasty", words.work / "output"
    root.mkdir()
    output.mkdir()
    Planter(root, words.files, words.sparse, words.seed).plant()
    want, ours = look(root), clients.Ours("s3mirrord", words.binary, setting="xattrs = true\nhard_links = true")
    print(f"the tree: {kinds(want)} (seed {words.seed})")
    run = measure(ours.command(root, store, prefix, words.work / "state"), ours.environment(store), output)
    summary = ours.summary(run.output)
    print(f"mirrored in {run.wall:.1f} s, {run.cpu:.1f} s of CPU, {run.rss:.0f} MiB: {summary['uploaded']:,} objects, {summary['failed']} failed")
    found = clients.clients(words.binary, "", words.work / "tools", [by for by in words.by if by not in ("ours", "boto3")])
    views: dict[str, tuple[Callable[[Tree], Tree], Callable[[Tree], Tree]]] = {
        "ours": (everything, everything),
        "boto3": (alone, alone),
        "rclone": (for_rclone, for_rclone),
        "aws": (as_keys, files_alone),
    }
    sum_of_all = 0
    for by in words.by:
        to = words.work / f"by-{by}"
        to.mkdir()
        begun = time.monotonic()
        try:
            bring(by, found, words, store, prefix, to)
            wanted, had = views[by]
            had_tree = look(to)
            told = differences(wanted(want), narrowed(by, had(had_tree), wanted(want)))
            if by == "ours" and os.stat(to / "sparse").st_blocks * 512 > words.sparse // 2:
                told.append("the sparse file takes the room of all its bytes")
        except (Failed, subprocess.CalledProcessError) as error:
            told = [f"it failed: {error}"]
        print(f"{by}: {len(told)} differences, in {time.monotonic() - begun:.0f} s with the comparison")
        for line in told[:20]:
            print(f"    {line}")
        sum_of_all += len(told)
        shutil.rmtree(to)
    return sum_of_all


def alone(tree: Tree) -> Tree:
    """Each name a file of its own."""
    return {name: replace(entry, one=None) for name, entry in tree.items()}


def narrowed(by: str, had: Tree, wanted: Tree) -> Tree:
    """Without what rclone brought under names that it cannot have."""
    if by != "rclone":
        return had
    quotes = [quote.encode() for quote in (QUOTE, NUL, SLASH, DOT)]
    return {name: entry for name, entry in had.items() if not any(quote in name for quote in quotes)}


def bring(by: str, found: dict[str, clients.Client], words: argparse.Namespace, store: Embedded, prefix: str, to: Path) -> None:
    if by == "boto3":
        return by_boto3(store, f"{prefix}/", to)
    if by == "ours":
        ours = clients.Ours("s3mirrord", words.binary)
        command = [*ours.restore(to, store, prefix), "--owner", "--special"]
        run = measure(command, ours.environment(store), words.work / "output")
        return print(f"restored in {run.wall:.1f} s, {run.cpu:.1f} s of CPU, {run.rss:.0f} MiB")
    client = found[by]
    command = client.restore(to, store, prefix)
    if by == "rclone":
        command += ["--metadata", "--links", "--create-empty-src-dirs", "--s3-directory-markers"]
        # names that differ in Unicode's normal form alone are one to it otherwise
        command += ["--no-unicode-normalization", "--exclude", "/.s3mirrord/**"]
    else:
        command += ["--exclude", ".s3mirrord/*"]
    run = measure(command, client.environment(store), words.work / "output")
    print(f"{client.version()} took {run.wall:.1f} s, {run.cpu:.1f} s of CPU, {run.rss:.0f} MiB")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=REPOSITORY / "target/release/s3mirrord", help="[target/release/s3mirrord]")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "target/roundtrip", help="is removed")
    parser.add_argument("--files", type=int, default=100_000, help="small ones [100000]")
    parser.add_argument("--sparse", type=int, default=1 << 30, help="bytes of the sparse file [1 GiB]")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the tree [the time]")
    parser.add_argument("--by", type=lambda text: text.split(","), default=["ours", "boto3", "rclone", "aws"], help="[ours,boto3,rclone,aws]")
    return parser.parse_args()


def main() -> int:
    words = arguments()
    if os.geteuid() != 0:
        raise Failed("only root gives files away: run it as root")
    shutil.rmtree(words.work, ignore_errors=True)
    words.work.mkdir(parents=True)
    os.umask(0o022)
    store = Embedded(words.binary, words.work)
    try:
        return int(trial(words, store) > 0)
    finally:
        store.stop()
        shutil.rmtree(words.work, ignore_errors=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failed:
        sys.exit(f"roundtrip: {failed}")
