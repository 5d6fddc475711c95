"""What only a daemon can show: how soon a change is visible, what becomes of a file that never rests, of an upload
that is killed, and of a directory that is renamed. Ours alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sidebyside import tables
from sidebyside.clients import Ours
from sidebyside.eye import Eye
from sidebyside.measure import Failed, apart
from sidebyside.store import Store, since
from sidebyside.trees import Tree, amount, fill, warm

if TYPE_CHECKING:
    from sidebyside.scenarios import Bench

PATIENCE = 600
"""Seconds after which what is waited for is taken not to come."""


def wait(what: str, done: Callable[[], bool], step: float = 0.05) -> float:
    """Seconds until it was so."""
    begun = time.monotonic()
    while not done():
        if time.monotonic() - begun > PATIENCE:
            raise Failed(f"not within {PATIENCE} s: {what}")
        time.sleep(step)
    return time.monotonic() - begun


@contextmanager
def daemon(words: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen]:
    """`run` on the configuration that `words` name; it is ready when this is entered."""
    words = [words[0], "run", *(word for word in words[2:] if word != "--json")]
    process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        if not any(b"ready" in line for line in process.stderr):
            raise Failed("the daemon ended before it was ready")
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield process
    finally:
        process.kill()
        process.wait()


def peak(process: int) -> float:
    """MiB, the process's largest resident set so far (proc(5), VmHWM)."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def with_setting(client: Ours, setting: str) -> Ours:
    return Ours(client.name, client.program, setting=setting)


def visible(bench: Bench, flood: int) -> str:
    """From the close of a small file to its object, idle and while a tree goes up."""
    lines = [tables.head("", "changes", "median, ms", "p90, ms", "largest, ms")]
    for quiet, files, changes in [("0s", 0, 200), ("2s", 0, 20), ("0s", flood, 200)]:
        root = bench.work / "trees" / "visible"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        with bench.store() as store, bench.target(store) as (prefix, state):
            ours = with_setting(bench.ours(), f'debounce = {{ quiet = "{quiet}", longest = "60s" }}')
            words, eye = ours.command(root, store, prefix, state), Eye(store)
            with daemon(words, ours.environment(store)):
                if files:
                    apart(lambda: pour(root, files))
                    wait("the flood has begun", lambda: eye.count(f"{prefix}/flood/") > 100)
                taken = [change(root, prefix, eye, number) for number in range(changes)]
                sent = eye.count(f"{prefix}/flood/") if files else 0
                if files and sent >= files:
                    raise Failed("the flood was over before the last change; ask for more files")
            base = [put(eye, number) for number in range(changes)]
        beside = f", {files:,} files going up" if files else ""
        lines.append(tables.row(f"`quiet = \"{quiet}\"`{beside}", f"{changes}", *milliseconds(taken)))
        if not files and quiet == "0s":
            lines.append(tables.row("a PUT of the same by itself", f"{changes}", *milliseconds(base)))
        print(f"  {quiet} {files}: {milliseconds(taken)}; a PUT: {milliseconds(base)}", flush=True)
        shutil.rmtree(root)
    return "\n".join(lines) + "\n"


def pour(root: Path, files: int) -> None:
    """A tree that comes at once, by rename."""
    aside, block = root.parent / "visible-aside", os.urandom(4096)
    for number in range(files):
        path = aside / f"d{number // 1000:04}" / f"f{number:07}"
        path.parent.mkdir(parents=True, exist_ok=True)
        fill(path, number, 4096, block)
    aside.rename(root / "flood")


def change(root: Path, prefix: str, eye: Eye, number: int) -> float:
    name = f"change-{number:05}"
    with open(root / name, "w") as file:
        file.write(name)
    begun = time.monotonic()
    wait(name, lambda: eye.is_there(f"{prefix}/{name}"), step=0.0005)
    taken = time.monotonic() - begun
    time.sleep(0.05)
    return taken


def put(eye: Eye, number: int) -> float:
    begun = time.monotonic()
    eye.put(f"beside/{number}", b"change")
    return time.monotonic() - begun


def milliseconds(values: list[float]) -> tuple[str, str, str]:
    ordered = sorted(values)
    chosen = tables.median(ordered), ordered[len(ordered) * 9 // 10], ordered[-1]
    return tuple(f"{value * 1000:,.1f}" for value in chosen)


def rewritten(bench: Bench, seconds: int) -> str:
    """Three files that hardly rest, each filled with the number of its state; every version of their objects must be
    one state, and nothing but it."""
    size, root = 24 << 20, bench.work / "trees" / "rewritten"
    lines = [tables.head("", "states", "versions seen", "torn", "time without a version, s")]
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    with bench.store() as store, bench.target(store) as (prefix, state):
        ours = with_setting(bench.ours(), 'debounce = { quiet = "100ms", longest = "2s" }')
        words = ours.command(root, store, prefix, state)
        with daemon(words, ours.environment(store)) as process:
            ends = time.monotonic() + seconds
            for name, _ in STYLES:
                (root / name).write_bytes(stamp(0) * (size // 8))
            writers = [subprocess.Popen(writer(style, root / name, size, seconds)) for name, style in STYLES]
            seen = {name: Versions() for name, _ in STYLES}
            eye = Eye(store)
            while time.monotonic() < ends:
                for name, versions in seen.items():
                    versions.look(eye, f"{prefix}/{name}")
                time.sleep(0.02)
            states = [told.wait() for told in writers]
            for name, versions in seen.items():
                last = (root / name).read_bytes()
                wait(f"the last state of {name}", lambda: eye.read(f"{prefix}/{name}") == last)
                versions.look(eye, f"{prefix}/{name}")
            most = peak(process.pid)
    for (name, _), told in zip(STYLES, states):
        versions, count = seen[name], int((root / f".{name}.states").read_text()) if told == 0 else -1
        known = len(versions.known)
        lines.append(tables.row(name, f"{count:,}", f"{known:,}", f"{versions.torn}", f"{versions.gap:.1f}"))
    shutil.rmtree(root)
    title = f"Files of {amount(size)}, written anew for {seconds} s, each time after a pause of up to a second"
    title += f"; peak RSS {tables.number(most)} MiB.\n"
    return f"{title}\n" + "\n".join(lines) + "\n"


STYLES = [("in-place", "place"), ("renamed-over", "over"), ("truncated", "truncate")]


class Versions:
    """What was seen of one object."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.torn = 0
        self.gap = 0.0
        self.last = time.monotonic()

    def look(self, eye: Eye, key: str) -> None:
        tag = eye.tag(key)
        if tag is None or tag in self.known:
            return
        tag, body = eye.tagged(key)
        self.known.add(tag)
        self.gap = max(self.gap, time.monotonic() - self.last)
        self.last = time.monotonic()
        self.torn += not is_state(body)


def is_state(body: bytes) -> bool:
    """True if the file was so at a moment: from its begin on the newer state, from somewhere on the one before it.
    One that is cut and filled again, or replaced, has stamps of one state only, which that includes."""
    if not body:
        return True
    stamps = array("Q", body)
    stamps.byteswap()
    newer = stamps[0]
    written = stamps.count(newer)
    return body == stamp(newer) * written + stamp(max(0, newer - 1)) * (len(stamps) - written)


def stamp(number: int) -> bytes:
    return number.to_bytes(8, "big")


def writer(style: str, path: Path, size: int, seconds: int) -> list[str]:
    """A process that writes one state after another, each after a pause, and at last tells how many."""
    program = """
import os, random, sys, time
style, path, size, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
ends, number, piece, chance = time.monotonic() + seconds, 0, 1 << 20, random.Random(style)
while time.monotonic() < ends:
    number += 1
    body = number.to_bytes(8, "big") * (piece // 8)
    target = path + ".new" if style == "over" else path
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if style != "place" else 0)
    file = os.open(target, flags, 0o644)
    for _ in range(size // piece):
        os.write(file, body)
    os.close(file)
    if style == "over":
        os.rename(target, path)
    time.sleep(chance.uniform(0, 1))
directory, name = os.path.split(path)
open(os.path.join(directory, "." + name + ".states"), "w").write(str(number))
"""
    return ["python3", "-c", program, style, str(path), str(size), str(seconds)]


def killed(bench: Bench, size: int) -> str:
    """A large file whose upload is killed half-way, and the next pass."""
    client, root = bench.ours(), Tree(1, 1, size).make(bench.work)
    with bench.store() as store, bench.target(store) as (prefix, state):
        words, environment, eye = client.command(root, store, prefix, state), client.environment(store), Eye(store)
        before = store.requests()

        def parts() -> int:
            return (since(before, store.requests()) or {}).get("UploadPart", 0)

        process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        begun = time.monotonic()
        wait("half of the file", lambda: parts() * (8 << 20) > size / 2, step=0.01)
        process.kill()
        process.wait()
        first, taken, left = parts(), time.monotonic() - begun, eye.open_uploads()
        begun = time.monotonic()
        ran = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
        again, rest = parts() - first, time.monotonic() - begun
        summary = Ours.summary(ran.stdout)
        if (summary["uploaded"], eye.open_uploads()) != (1, 0):
            raise Failed(f"not uploaded, or an upload stays open: {summary}")
    lines = [tables.head("", "s", "parts sent", "uploads left open")]
    lines.append(tables.row("killed (SIGKILL) half-way", tables.number(taken), f"{first}", f"{left}"))
    lines.append(tables.row("the next pass", tables.number(rest), f"{again}", "0"))
    told = f"One file of {amount(size)}. What the next pass sent: {amount(summary['bytes'])}."
    return f"{told}\n\n" + "\n".join(lines) + "\n"


def renamed(bench: Bench, tree: Tree) -> str:
    """A directory of many files gets another name below a daemon, and another between two passes."""
    root = tree.make(bench.work)
    ours = Ours(bench.ours().name, bench.ours().program, 'max_delete = "off"\ndelete_grace = "1s"', "mirror")
    lines = [tables.head("", "s", "objects without a name", "requests")]
    with bench.store() as store, bench.target(store) as (prefix, state):
        words, environment, eye = ours.command(root, store, prefix, state), ours.environment(store), Eye(store)
        summary = once(words, environment)
        if summary["uploaded"] != tree.files:
            raise Failed(f"not uploaded: {summary}")
        warm(root)
        names = [tree.path(number).split("/", 1)[1] for number in range(0, tree.files, max(1, tree.files // 100))]
        with daemon(words, environment):
            before, missing = store.requests(), 0
            (root / "site-00000").rename(root / "moved")
            begun = time.monotonic()

            def over() -> bool:
                nonlocal missing
                old = [eye.is_there(f"{prefix}/site-00000/{name}") for name in names]
                new = [eye.is_there(f"{prefix}/moved/{name}") for name in names]
                missing += sum(not (o or n) for o, n in zip(old, new))
                return all(new) and not any(old) and eye.count(f"{prefix}/site-00000/") == 0

            wait("the new names alone", over)
            taken = time.monotonic() - begun
            asked = spent(before, store.requests())
        lines.append(tables.row("`run`", tables.number(taken), f"{missing}", asked))
        (root / "moved").rename(root / "site-00000")
        before, begun = store.requests(), time.monotonic()
        summary = once(words, environment)
        taken, asked = time.monotonic() - begun, spent(before, store.requests())
        lines.append(tables.row("`once`", tables.number(taken), "0", asked))
        if (summary["copied"], summary["deleted"], summary["bytes"]) != (tree.files, tree.files, 0):
            raise Failed(f"not by copies alone: {summary}")
        if eye.count(f"{prefix}/") != tree.files:
            raise Failed("objects are missing, or left over")
    told = f"{tree}, which gets another name. What `once` sent: {amount(summary['bytes'])}."
    return f"{told}\n\n" + "\n".join(lines) + "\n"


def once(words: list[str], environment: dict[str, str]) -> dict:
    ran = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return Ours.summary(ran.stdout)


def spent(before: dict[str, int] | None, after: dict[str, int] | None) -> str:
    """Requests that were not this program's own looks."""
    asked = since(before, after) or {}
    ours = sorted((name, count) for name, count in asked.items() if name not in ("HeadObject", "ListObjectsV2"))
    return ", ".join(f"{count:,} {name}" for name, count in ours)
