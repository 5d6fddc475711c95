#!/usr/bin/env python3
"""s3mirrord where the store asks for less, and where the link is slow: what it does then, second by second.

  just bench-slowly slowdown                       30 % of requests are refused for two minutes, and then none
  just bench-slowly link                           2 Mb/s and 300 ms there and back
  python3 benches/slowly.py slowdown --files 20000 --binary target/debug/s3mirrord

Needs Python 3.9. The server is s3mirrord's own, on loopback, with a proxy before it; both share the cores with what is
measured. A run ends with 1 if something was lost, or its promise was not kept.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sidebyside import machine
from sidebyside.measure import Failed
from sidebyside.road import Narrow, Refusing
from sidebyside.store import Embedded, since

REPOSITORY = Path(__file__).resolve().parent.parent
STEP = 10
"""Seconds that a line of a table stands for."""
MIB = 1 << 20


class Mirror:
    """A directory, and a configuration that sends it to a store by another address."""

    def __init__(self, words: argparse.Namespace, store: Embedded, endpoint: str) -> None:
        self.binary, self.work = words.binary, words.work
        self.root, self.config = words.work / "root", words.work / "config.toml"
        self.root.mkdir()
        text = f"""
state_dir = "{words.work / "state"}"
[s3]
region = "us-east-1"
endpoint_url = "{endpoint}"
access_key_id = "{store.access_key}"
secret_access_key = "{store.secret_key}"
[[mirror]]
name = "slowly"
root = "{self.root}"
bucket = "{store.bucket}"
prefix = "slowly/"
"""
        self.config.touch(0o600)
        self.config.write_text(text)

    def write(self, name: str, size: int) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(random.randbytes(size))

    @contextmanager
    def begin(self, *verb: str) -> Iterator[subprocess.Popen[str]]:
        """Runs it, no longer than what is done with it; what it says goes to a file."""
        command = [str(self.binary), "--config", str(self.config), *verb]
        with open(self.work / "log", "a", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env={})
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def once(self) -> dict:
        """A pass to its end; its summary."""
        with self.begin("once", "--json") as process:
            return summary(process.communicate()[0], process.returncode)

    def complaints(self) -> list[str]:
        """What it said that is no mere information."""
        lines = (self.work / "log").read_text().splitlines()
        return [line for line in lines if " WARN " in line or " ERROR " in line]


def summary(output: str, code: int) -> dict:
    lines = [json.loads(line) for line in output.splitlines()]
    told = [line for line in lines if line["event"] == "summary"]
    if code != 0 or not told:
        raise Failed(f"a pass ended with {code}: {told}")
    return told[0]


def memory(pid: int) -> float:
    """MiB that a process has in memory now; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def rate(samples: list[tuple[float, int]], begin: float, end: float) -> float:
    """A second between two times, of a count that was sampled."""
    within = [sample for sample in samples if begin <= sample[0] <= end]
    if len(within) < 2:
        return 0.0
    (first, few), (last, many) = within[0], within[-1]
    return (many - few) / (last - first)


def slowdown(words: argparse.Namespace, store: Embedded) -> str:
    """Throughput before, while and after a share of requests is refused."""
    begun, counts = time.monotonic(), Counter()
    from_, until = words.before, words.before + words.during

    def refuses() -> bool:
        return from_ <= time.monotonic() - begun < until and random.random() < words.share / 100

    road = Refusing(store.endpoint, refuses, lambda _, refused: counts.update([refused]))
    mirror = Mirror(words, store, road.endpoint)
    for number in range(words.files):
        mirror.write(f"{number // 1000}/{number}", 4096)
    begun = time.monotonic()
    sent, refused, last = [], [], until + words.after
    with mirror.begin("run") as process:
        while (now := time.monotonic() - begun) < last:
            sent.append((now, counts[False]))
            refused.append((now, counts[True]))
            time.sleep(0.25)
        if store.requests().get("PutObject", 0) >= words.files:
            raise Failed(f"all was sent before the time was over: say --files {2 * words.files}")
        while store.requests().get("PutObject", 0) < words.files:
            time.sleep(1)
            if process.poll() is not None:
                raise Failed("the daemon ended")
        time.sleep(5)
        process.send_signal(signal.SIGTERM)
        process.communicate()
    usual = rate(sent, from_ - 2 * STEP, from_)
    lines = ["| seconds | requests/s | of before | refused/s |\n|---|---:|---:|---:|"]
    for at in range(0, int(last), STEP):
        went, not_ = rate(sent, at, at + STEP), rate(refused, at, at + STEP)
        phase = "before" if at < from_ else "during" if at < until else "after"
        lines.append(f"| {at}–{at + STEP} {phase} | {went:.0f} | {100 * went / usual:.0f} % | {not_:.0f} |")
    windows = [until + n for n in range(int(words.after) - STEP)]
    well = [at for at in windows if rate(sent, at, at + STEP) >= 0.9 * usual]
    back = f"{well[0] - until + STEP:.0f} s after the last refusal" if well else "never"
    last_pass = mirror.once()
    lost = words.files - last_pass["unchanged"]
    lines += ["", f"90 % of before is reached {back}; {lost} of {words.files} files were lost;"]
    lines += [f"{counts[True]} requests refused, {counts[False]} answered."]
    text = "\n".join(lines)
    if lost or last_pass["uploaded"] or not well or well[0] - until + STEP > 60:
        raise Failed(f"{text}\na later pass: {last_pass}")
    return text


def link(words: argparse.Namespace, store: Embedded) -> str:
    """One large file and some small ones over a slow link."""
    rate_, before = words.megabits * 1e6 / 8, store.requests()
    mirror = Mirror(words, store, Narrow(store.endpoint, rate_, words.latency / 1000).endpoint)
    mirror.write("large", int(words.megabytes * MIB))
    for number in range(words.small):
        mirror.write(f"small/{number}", 4096)
    begun, sizes = time.monotonic(), []
    with mirror.begin("once", "--json") as process:
        while process.poll() is None:
            sizes.append((time.monotonic() - begun, memory(process.pid)))
            time.sleep(0.1)
        took = time.monotonic() - begun
        told = summary(process.stdout.read(), process.returncode)
    asked = since(before, store.requests())
    sizes = [size for size in sizes if size[1]]
    lines = ["| seconds | memory, MiB |\n|---|---:|"]
    for at in range(0, int(took) + 1, STEP):
        within = [size for when, size in sizes if at <= when < at + STEP]
        if within:
            lines.append(f"| {at}–{at + STEP} | {max(within):.0f} |")
    least = told["bytes"] / rate_
    lines += ["", f"{told['uploaded']} files in {took:.0f} s, at least {least:.0f} s at that rate;"]
    lines += [f"{told['failed']} failed; requests: {json.dumps(asked)}; complaints: {mirror.complaints()}"]
    text = "\n".join(lines)
    # attempts beyond the first would be beyond what is needed
    needed = {"PutObject": words.small + 1, "UploadPart": -(-words.megabytes // 8)}
    more = asked["PutObject"] > needed["PutObject"] + 20 or asked.get("UploadPart", 0) > needed["UploadPart"]
    # but for its beginning, and its end, when it gives all back
    steady = [size for when, size in sizes if took / 4 < when < took - 1]
    if more or told["failed"] or mirror.complaints() or max(steady) > 1.2 * min(steady) + 8:
        raise Failed(text)
    return text


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release/s3mirrord"
    parser.add_argument("scenario", choices=["slowdown", "link"])
    parser.add_argument("--binary", type=Path, default=default, help="[target/release/s3mirrord]")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "target/bench-slowly", help="is removed")
    some = parser.add_argument_group("slowdown")
    some.add_argument("--files", type=int, default=80_000, help="more than can be sent in the time [80000]")
    some.add_argument("--before", type=float, default=40, help="seconds [40]")
    some.add_argument("--during", type=float, default=120, help="seconds [120]")
    some.add_argument("--after", type=float, default=80, help="seconds [80]")
    some.add_argument("--share", type=float, default=30, help="of requests that are refused, in percent [30]")
    some.add_argument("--far", default="50ms", help="how long the server takes for a request [50ms]")
    slow = parser.add_argument_group("link")
    slow.add_argument("--megabits", type=float, default=2, help="a second, each way [2]")
    slow.add_argument("--latency", type=float, default=300, help="milliseconds there and back [300]")
    slow.add_argument("--megabytes", type=int, default=8, help="of the large file, in MiB [8]")
    slow.add_argument("--small", type=int, default=50, help="files of 4 KiB [50]")
    words = parser.parse_args()
    words.binary, words.work = words.binary.resolve(), words.work.resolve()
    if not words.binary.is_file():
        parser.error(f"{words.binary} is not there; `cargo build --release` makes it, or say --binary")
    return words


def main() -> int:
    words = arguments()
    shutil.rmtree(words.work, ignore_errors=True)
    words.work.mkdir(parents=True)
    before, latency = machine.load(), words.far if words.scenario == "slowdown" else "0s"
    store = Embedded(words.binary, words.work, latency)
    try:
        text = {"slowdown": slowdown, "link": link}[words.scenario](words, store)
        print(f"{text}\n\n{machine.when(before)}")
    except Failed as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    finally:
        store.stop()
        shutil.rmtree(words.work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
