#!/usr/bin/env python3
"""s3mirrord and its peers, side by side: wall, CPU, memory and requests, against one server, in one run.

  just bench-peers                                     everything, which takes hours
  just bench-peers unchanged-100k small                these scenarios
  just bench-peers unchanged-100k --files 10000 --runs 1 --clients ours,rclone-tuned
  just bench-peers --write docs/PERFORMANCE.md         and put the tables where the page marks their places

Needs Python 3.9, `du`, and for the first run pip; `strace`, if there is one, proves that no content is read. The
server is s3mirrord's own, on loopback, and shares the cores with the clients: compare ratios, not seconds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from sidebyside import machine
from sidebyside.clients import clients
from sidebyside.measure import Failed
from sidebyside.scenarios import SCENARIOS, Bench
from sidebyside.store import Store

REPOSITORY = Path(__file__).resolve().parent.parent
CLIENTS = "ours,ours-serial,floor,rclone-tuned,rclone,s5cmd,aws,s3sync"


def count(text: str) -> int:
    """`10k`, `1M`, `10000`."""
    units = {"k": 1_000, "m": 1_000_000}
    unit = units.get(text[-1:].lower(), 1)
    return int(text[: len(text) - (unit > 1)]) * unit


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)} [all]")
    parser.add_argument("--runs", type=int, default=3, help="how often each client runs [3]")
    parser.add_argument("--clients", default=CLIENTS, help=f"[{CLIENTS}]")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="put the tables between this page's markers"
    )
    parser.add_argument(
        "--work", type=Path, default=REPOSITORY / "target/bench-work", help="trees, bodies, ledgers"
    )
    parser.add_argument("--keep", action="store_true", help="keep the trees for the next time")
    sizes = parser.add_argument_group("sizes, instead of the scenario's own")
    sizes.add_argument("--files", type=count, metavar="N", help="as in 10k, 1M")
    sizes.add_argument("--directories", type=count, metavar="N")
    sizes.add_argument("--bytes", type=count, metavar="N", help="of each file")
    sizes.add_argument("--total", type=count, metavar="N", default=5 << 30, help="bytes of the scenario mixed [5 GiB]")
    sizes.add_argument("--seconds", type=int, default=600, help="of the scenario rewritten [600]")
    sizes.add_argument("--sizes", default="10k,100k,1M", help="of the scenario growth [10k,100k,1M]")
    sizes.add_argument("--latency", default="50ms", help="of the scenario latency [50ms]")
    binary = parser.add_argument_group("what is measured")
    default = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release/s3mirrord"
    binary.add_argument("--binary", type=Path, default=default, help="s3mirrord [target/release/s3mirrord]")
    binary.add_argument("--server", type=Path, metavar="BINARY", help="the one that serves [--binary]")
    binary.add_argument("--serial", default="listers = 1", help="what ours-serial sets [listers = 1]")
    store = parser.add_argument_group("another store than the embedded one; requests are then not counted")
    store.add_argument("--endpoint", metavar="URL")
    store.add_argument("--access-key", metavar="ID")
    store.add_argument("--secret-key", metavar="SECRET")
    store.add_argument("--bucket", metavar="NAME")
    store.add_argument("--as", dest="label", metavar="NAME", help="the page's places are SCENARIO-NAME")
    words = parser.parse_args()
    unknown = set(words.scenarios) - set(SCENARIOS)
    if unknown:
        parser.error(f"no scenario is called {', '.join(sorted(unknown))}; there are: {', '.join(SCENARIOS)}")
    own = [words.endpoint, words.access_key, words.secret_key, words.bucket]
    if any(own) and not all(own):
        parser.error("--endpoint, --access-key, --secret-key and --bucket go together")
    words.store = Store(*own) if all(own) else None
    if words.store and "latency" in words.scenarios:
        parser.error("the scenario latency needs the embedded server")
    words.binary, words.server = words.binary.resolve(), (words.server or words.binary).resolve()
    for path in (words.binary, words.server):
        if not path.is_file():
            parser.error(f"{path} is not there; `cargo build --release` makes it, or say --binary")
    return words


def replace(page: Path, name: str, text: str) -> None:
    """Puts `text` between the page's markers of that name."""
    begin, end = f"<!-- bench:{name} -->\n", f"<!-- /bench:{name} -->"
    before, found, rest = page.read_text().partition(begin)
    if not found or end not in rest:
        raise Failed(f"{page} has no place for {name}: {begin.strip()} and {end}")
    page.write_text(f"{before}{begin}{text}{end}{rest.partition(end)[2]}")


def clear(work: Path, keep: bool) -> None:
    """Removes what was made, and the work directory itself unless it holds something else."""
    for made in ["server", "state", "output", *([] if keep else ["trees"])]:
        shutil.rmtree(work / made, ignore_errors=True)
    if not any(work.iterdir()):
        work.rmdir()


def main() -> int:
    words = arguments()
    names = words.scenarios or [name for name in SCENARIOS if not (words.store and name == "latency")]
    words.work.mkdir(parents=True, exist_ok=True)
    work = words.work.resolve()
    chosen = clients(words.binary, words.serial, REPOSITORY / "target/peers", words.clients.split(","))
    bench = Bench(
        server=words.server,
        work=work,
        clients=chosen,
        runs=words.runs,
        files=words.files,
        directories=words.directories,
        size=words.bytes,
        total=words.total,
        seconds=words.seconds,
        latency=words.latency,
        sizes=[count(size) for size in words.sizes.split(",")],
        given=words.store,
    )
    try:
        for name in names:
            print(f"{name}:", file=sys.stderr)
            before = machine.load()
            text = f"{SCENARIOS[name](bench)}\n{machine.when(before)}"
            print(f"\n## {name}\n\n{text}", flush=True)
            if words.write:
                replace(words.write, f"{name}-{words.label}" if words.label else name, text)
        where = machine.describe(chosen, work)
        print(f"\n{where}")
        if words.write and not words.label:
            replace(words.write, "machine", where)
    except Failed as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    finally:
        clear(work, words.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
