"""What is measured. Every scenario yields its results as Markdown."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sidebyside import alone, tables
from sidebyside.clients import Client, Ours
from sidebyside.measure import Failed, Run, measure, opened_files
from sidebyside.store import Embedded, Store, since
from sidebyside.tables import Series
from sidebyside.trees import Mixed, Tree, occupied, warm

OWNER = 4
"""How many requests ours may send beside LIST when nothing changed: to see who owns the prefix."""
WRITES = ("Put", "Copy", "Delete", "CreateMultipart", "Upload", "Complete")


@dataclass
class Bench:
    """What was asked for on the command line, and what the scenarios share."""

    server: Path
    work: Path
    clients: dict[str, Client]
    runs: int
    files: int | None = None
    directories: int | None = None
    size: int | None = None
    total: int = 5 << 30
    seconds: int = 600
    latency: str = "50ms"
    sizes: list[int] = field(default_factory=list)
    given: Store | None = None
    """The reader's own store, if not the embedded one."""
    prefixes: int = 0

    def tree(self, files: int, directories: int, size: int) -> Tree:
        """The tree of a scenario, with what the command line says otherwise."""
        return Tree(self.files or files, self.directories or directories, self.size or size)

    @contextmanager
    def store(self, latency: str = "0s") -> Iterator[Store]:
        """A store with nothing of ours in it."""
        if self.given:
            yield self.given
            return
        scratch = self.work / "server"
        scratch.mkdir(parents=True, exist_ok=True)
        store = Embedded(self.server, scratch, latency)
        try:
            yield store
        finally:
            store.stop()

    @contextmanager
    def target(self, store: Store) -> Iterator[tuple[str, Path]]:
        """An empty prefix and a state directory, both gone afterwards."""
        self.prefixes += 1
        name = f"{os.getpid()}-{self.prefixes:04}"
        prefix, state = f"bench-peers/{name}", self.work / "state" / name
        state.mkdir(parents=True)
        try:
            yield prefix, state
        finally:
            shutil.rmtree(state)
            if self.given:
                self.purge(store, prefix)

    def purge(self, store: Store, prefix: str) -> None:
        """Deletes what a scenario left in the reader's bucket."""
        sweeper = self.clients.get("rclone-tuned") or self.clients.get("rclone")
        if not sweeper:
            print(f"s3://{store.bucket}/{prefix}/ stays: only rclone deletes here", file=sys.stderr)
            return
        words = [str(sweeper.program), "purge", f"peer:{store.bucket}/{prefix}"]
        measure(words, sweeper.environment(store), self.output())

    def output(self) -> Path:
        """Where what commands say is kept while they run."""
        output = self.work / "output"
        output.mkdir(exist_ok=True)
        return output

    def run(self, client: Client, root: Path, store: Store, prefix: str, state: Path) -> Run:
        """One run of one client, with its requests."""
        before = store.requests()
        words, environment = client.command(root, store, prefix, state), client.environment(store)
        run = measure(words, environment, self.output())
        run.requests = since(before, store.requests())
        print(f"  {client.name:24} {tables.brief(run)}", file=sys.stderr)
        return run

    @contextmanager
    def forgive(self, client: Client, series: Series) -> Iterator[None]:
        """A peer that fails is told of and left out from then on; ours may not fail."""
        try:
            yield
        except Failed as failure:
            if isinstance(client, Ours):
                raise
            print(f"  {client.name}: {failure}", file=sys.stderr)
            series.failed = str(failure).splitlines()[0]

    def each(self, names: list[str] | None = None) -> Iterator[tuple[str, Client]]:
        """Every client in every round, each round beginning with another, so that what disturbs meets all."""
        usual = [name for name in self.clients if name not in ("ours-serial", "floor")]
        chosen = usual if names is None else [name for name in names if name in self.clients]
        for turn in range(self.runs):
            for place in range(len(chosen)):
                name = chosen[(turn + place) % len(chosen)]
                yield name, self.clients[name]

    def ours(self) -> Ours:
        """Our client, with its defaults."""
        ours = self.clients.get("ours")
        if not isinstance(ours, Ours):
            raise Failed("this scenario needs the client `ours`")
        return ours


def upload(bench: Bench, root: Path, tree: Tree, store: Store, prefix: str, state: Path) -> Run:
    """Fills a prefix with ours: its objects carry the metadata that the peers look for."""
    print(f"  uploading {tree}", file=sys.stderr)
    run = bench.run(bench.ours(), root, store, prefix, state)
    uploaded = Ours.summary(run.output)["uploaded"]
    if uploaded != tree.files:
        raise Failed(f"{uploaded} of {tree.files} files were uploaded")
    return run


def check_idle(client: Client, run: Run, tree: Tree) -> None:
    """Nothing was to be done, and nothing was done; ours asked for listings only and read no content."""
    asked = run.requests or {}
    written = [name for name in asked if name.startswith(WRITES)]
    if written:
        raise Failed(f"{client.name} wrote although nothing had changed: {asked}")
    if not isinstance(client, Ours):
        return
    summary = Ours.summary(run.output)
    if (summary["unchanged"], summary["bytes_read"], summary["uploaded"]) != (tree.files, 0, 0):
        raise Failed(f"{client.name} did not find all unchanged: {summary}")
    if sum(asked.values()) - asked.get("ListObjectsV2", 0) > OWNER:
        raise Failed(f"{client.name} asked for more than listings and the owner: {asked}")


def unchanged(bench: Bench, tree: Tree, names: list[str] | None = None, latency: str = "0s") -> str:
    """One prefix, uploaded once by ours; then every client finds nothing to do."""
    root = tree.make(bench.work)
    series: dict[str, Series] = {}
    with bench.store(latency) as store, bench.target(store) as (prefix, state):
        far = latency != "0s"
        if far:
            store.far(False)
        upload(bench, root, tree, store, prefix, state)
        if far:
            store.far(True)
        warm(root)
        for name, client in bench.each(names):
            one = series.setdefault(name, Series(client.name))
            if not one.failed:
                with bench.forgive(client, one):
                    run = bench.run(client, root, store, prefix, state)
                    check_idle(client, run, tree)
                    one.runs.append(run)
        proof = content_read(bench, root, store, prefix, state)
    title = f"{tree}; nothing changed" + (f"; {latency} per request" if far else "")
    told = f"{proof}\n" if proof else ""
    return f"{tables.comparison(title, series)}\n{told}"


def content_read(bench: Bench, root: Path, store: Store, prefix: str, state: Path) -> str:
    """What strace says of the files that ours opened in one more, untimed pass."""
    ours = bench.ours()
    words = ours.command(root, store, prefix, state)
    opened = opened_files(words, ours.environment(store), root, bench.output())
    if opened is None:
        return "s3mirrord told of 0 bytes read in every pass; there is no strace here to prove it."
    if opened:
        raise Failed(f"s3mirrord opened {opened} files although nothing had changed")
    return (
        "s3mirrord told of 0 bytes read in every pass, and in one more pass under strace it opened no file."
    )


def unchanged_100k(bench: Bench) -> str:
    return unchanged(bench, bench.tree(100_000, 100, 64))


def unchanged_1m(bench: Bench) -> str:
    return unchanged(bench, bench.tree(1_000_000, 1_000, 64))


def unchanged_flat(bench: Bench) -> str:
    return unchanged(bench, bench.tree(1_000_000, 1, 64))


def latency(bench: Bench) -> str:
    """Without those that ask for every object by itself: they would take an hour."""
    names = ["ours", "ours-serial", "rclone-tuned", "s5cmd", "s3sync"]
    return unchanged(bench, bench.tree(100_000, 200, 64), names, bench.latency)


def uploads(bench: Bench, tree: Tree | Mixed, again: bool) -> str:
    """Every client uploads to a prefix of its own, on a server of its own; then, if `again`, finds nothing to do."""
    root = tree.make(bench.work)
    warm(root)
    first: dict[str, Series] = {}
    second: dict[str, Series] = {}
    for name, client in bench.each([name for name in bench.clients if name != "ours-serial"]):
        one = first.setdefault(name, Series(client.name))
        two = second.setdefault(name, Series(client.name)) if again and name != "floor" else None
        if one.failed or (two and two.failed):
            continue
        with bench.store() as store, bench.target(store) as (prefix, state):
            with bench.forgive(client, one):
                one.runs.append(bench.run(client, root, store, prefix, state))
            if two and not one.failed:
                with bench.forgive(client, two):
                    run = bench.run(client, root, store, prefix, state)
                    check_idle(client, run, tree)
                    two.runs.append(run)
    text = tables.comparison(f"{tree}; to an empty prefix", first)
    return text + ("\n" + tables.comparison("the same again; nothing changed", second) if again else "")


def small(bench: Bench) -> str:
    return uploads(bench, bench.tree(10_000, 10, 4096), again=True)


def large(bench: Bench) -> str:
    return uploads(bench, bench.tree(1, 1, 1 << 30), again=False)


def mixed(bench: Bench) -> str:
    return uploads(bench, Mixed(bench.files or 10_000, bench.total), again=False)


def restores(bench: Bench, tree: Tree) -> str:
    """One prefix, uploaded once by ours; then every client downloads it to a directory of its own."""
    root = tree.make(bench.work)
    series: dict[str, Series] = {}
    with bench.store() as store, bench.target(store) as (prefix, state):
        upload(bench, root, tree, store, prefix, state)
        for name, client in bench.each():
            to = bench.work / "restored"
            words = client.restore(to, store, prefix)
            one = series.setdefault(name, Series(client.name))
            if words is None or one.failed:
                continue
            to.mkdir()
            before = store.requests()
            try:
                with bench.forgive(client, one):
                    run = measure(words, client.environment(store), bench.output())
                    run.requests = since(before, store.requests())
                    print(f"  {client.name:24} {tables.brief(run)}", file=sys.stderr)
                    check_restored(client, tree, root, to)
                    one.runs.append(run)
            finally:
                shutil.rmtree(to)
    return tables.comparison(f"{tree}; to an empty directory", series)


def check_restored(client: Client, tree: Tree, root: Path, to: Path) -> None:
    """Every file is there, with its bytes."""
    for number in range(tree.files):
        path = tree.path(number)
        if not (to / path).is_file() or (to / path).stat().st_size != tree.size:
            raise Failed(f"{client.name} did not bring {path}")
        # all but the first bytes of each are the same block
        with open(root / path, "rb") as was, open(to / path, "rb") as now:
            if was.read(64) != now.read(64):
                raise Failed(f"{client.name} brought another {path}")


def restore_small(bench: Bench) -> str:
    return restores(bench, bench.tree(10_000, 10, 4096))


def restore_large(bench: Bench) -> str:
    return restores(bench, bench.tree(1, 1, 1 << 30))


def growth(bench: Bench) -> str:
    """Ours alone, at ten times the size each time."""
    rows = []
    for files in bench.sizes:
        tree = Tree(files, -(-files // 1_000), bench.size or 64)
        root = tree.make(bench.work)
        with bench.store() as store, bench.target(store) as (prefix, state):
            first = upload(bench, root, tree, store, prefix, state)
            warm(root)
            idle = Series(bench.ours().name)
            for _ in range(bench.runs):
                run = bench.run(bench.ours(), root, store, prefix, state)
                check_idle(bench.ours(), run, tree)
                idle.runs.append(run)
            rows.append(tables.Grown(files, first, idle, occupied(state)))
    return f"{tables.grown(rows)}\n{tables.on_paper(rows[-1])}"


def visible(bench: Bench) -> str:
    return alone.visible(bench, bench.files or 100_000)


def rewritten(bench: Bench) -> str:
    return alone.rewritten(bench, bench.seconds)


def killed(bench: Bench) -> str:
    return alone.killed(bench, bench.size or 2 << 30)


def renamed(bench: Bench) -> str:
    return alone.renamed(bench, bench.tree(10_000, 1, 1 << 19))


SCENARIOS: dict[str, Callable[[Bench], str]] = {
    "unchanged-100k": unchanged_100k,
    "unchanged-1m": unchanged_1m,
    "unchanged-flat": unchanged_flat,
    "latency": latency,
    "small": small,
    "large": large,
    "mixed": mixed,
    "visible": visible,
    "rewritten": rewritten,
    "killed": killed,
    "renamed": renamed,
    "restore-small": restore_small,
    "restore-large": restore_large,
    "growth": growth,
}
"""By the name that the command line and the markers of docs/PERFORMANCE.md use."""
