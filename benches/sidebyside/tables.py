"""Runs as Markdown."""

from __future__ import annotations

import resource
from dataclasses import dataclass, field

from sidebyside.measure import Run

LIST_PRICE = 0.005 / 1_000
"""USD a LIST request: S3 Standard, us-east-1, https://aws.amazon.com/s3/pricing/."""
INVENTORY_PRICE = 0.0025 / 1_000_000
"""USD an object listed in a report of S3 Inventory, same page."""
LATENCY = 0.05
"""Seconds that a far store takes for a page of a listing."""
LISTERS = (1, 16)
"""How many listings are asked for at once."""
IMAGINED = (100_000_000, 1_000_000_000)
"""Files that are reckoned with on paper."""


@dataclass
class Series:
    """The runs of one client."""

    name: str
    runs: list[Run] = field(default_factory=list)
    failed: str = ""
    """Why it did not do what it was to do."""

    def wall(self) -> list[float]:
        return [run.wall for run in self.runs]

    def cpu(self) -> list[float]:
        return [run.cpu for run in self.runs]

    def rss(self) -> float:
        """The worst of them."""
        return max(run.rss for run in self.runs)


@dataclass
class Grown:
    """Ours at one size."""

    files: int
    first: Run
    idle: Series
    ledger: int
    """Bytes on disk."""


def median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def number(value: float) -> str:
    """Three digits of it."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values: list[float]) -> str:
    """The median and, in brackets, the least."""
    return number(median(values)) if len(values) == 1 else f"{number(median(values))} ({number(min(values))})"


def peak(rss: float) -> str:
    """MiB; only a bound if it is this process's own, with which every command begins."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return number(rss) if rss > own else f"≤ {number(rss)}"


def requests(run: Run) -> str:
    """By operation, the most frequent first."""
    if run.requests is None:
        return "not counted"
    ordered = sorted(run.requests.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {name}" for name, count in ordered) or "none"


def brief(run: Run) -> str:
    """One run in a line."""
    return f"{number(run.wall):>8} s {number(run.cpu):>8} s CPU {peak(run.rss):>8} MiB  {requests(run)}"


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def head(*cells: str) -> str:
    """The first column is text, the others are numbers."""
    return f"{row(*cells)}\n|---{'|---:' * (len(cells) - 1)}|"


def comparison(title: str, series: dict[str, Series]) -> str:
    """A row a client, and how ours compares with the best of the others."""
    done = {name: one for name, one in series.items() if not one.failed}
    count = max((len(one.runs) for one in done.values()), default=0)
    times = "one run" if count == 1 else f"median (least) of {count} runs"
    lines = [f"{title}. {times[0].upper()}{times[1:]}.", ""]
    lines.append(head("", "wall, s", "CPU, s", "peak RSS, MiB", "requests of a run"))
    for one in done.values():
        cells = spread(one.wall()), spread(one.cpu()), peak(one.rss()), requests(one.runs[-1])
        lines.append(row(one.name, *cells))
    lines += [row(one.name, "failed", "", "", one.failed) for one in series.values() if one.failed]
    ours = done.get("ours")
    peers = [one for name, one in done.items() if not name.startswith(("ours", "floor"))]
    if ours and peers:
        wall = min(peers, key=lambda one: median(one.wall()))
        cpu = min(peers, key=lambda one: median(one.cpu()))
        time = f"{ratio(ours.wall(), wall.wall())} of the wall time of the fastest peer ({wall.name})"
        work = f"{ratio(ours.cpu(), cpu.cpu())} of the CPU time of the thriftiest ({cpu.name})"
        lines += ["", f"s3mirrord takes {time} and {work}."]
    floor = done.get("floor")
    if ours and floor:
        time, work = ratio(ours.wall(), floor.wall()), ratio(ours.cpu(), floor.cpu())
        lines += ["", f"Beside the floor: {time} times its wall time, {work} times its CPU time."]
    serial = done.get("ours-serial")
    if ours and serial:
        factor = number(median(serial.wall()) / median(ours.wall()))
        pages = listings(ours), listings(serial)
        more = f", with {pages[0] / pages[1]:.2f} times its listings" if all(pages) else ""
        lines += ["", f"s3mirrord by default is {factor} times as fast as {serial.name}{more}."]
    return "\n".join(lines) + "\n"


def listings(series: Series) -> int:
    """Listing requests of a run; 0 if they were not counted."""
    return (series.runs[-1].requests or {}).get("ListObjectsV2", 0)


def ratio(ours: list[float], theirs: list[float]) -> str:
    return f"{median(ours) / median(theirs):.2f}"


def grown(rows: list[Grown]) -> str:
    """Ours, a row a size."""
    columns = "files", "first pass, s", "CPU, s", "RSS, MiB", "again, s", "CPU, s", "RSS, MiB", "requests"
    lines = [head(*columns, "ledger, bytes a file")]
    for one in rows:
        first = number(one.first.wall), number(one.first.cpu), peak(one.first.rss)
        idle = spread(one.idle.wall()), spread(one.idle.cpu()), peak(one.idle.rss())
        asked = requests(one.idle.runs[-1])
        lines.append(row(f"{one.files:,}", *first, *idle, asked, f"{one.ledger / one.files:,.0f}"))
    return "\n".join(lines) + "\n"


def on_paper(measured: Grown) -> str:
    """What the largest size measured says of sizes nobody measured."""
    cpu = median(measured.idle.cpu()) / measured.files
    bytes_each = measured.ledger / measured.files
    lines = [f"On paper, from the row of {measured.files:,} files; {LATENCY * 1000:.0f} ms a page:", ""]
    times = [f"{count} {'lister' if count == 1 else 'listers'}" for count in LISTERS]
    money = "USD a pass", "USD a month, daily", "USD an Inventory report"
    lines.append(head("files", "LISTs", *times, "CPU", "ledger", *money))
    for files in IMAGINED:
        pages = files / 1_000
        # a pass cannot end before its CPU time is over, on one core
        waits = [duration(max(pages * LATENCY / count, cpu * files)) for count in LISTERS]
        price = pages * LIST_PRICE
        money = f"{price:,.2f}", f"{price * 30:,.2f}", f"{files * INVENTORY_PRICE:,.2f}"
        ledger = f"{bytes_each * files / (1 << 30):,.0f} GiB"
        lines.append(row(f"{files:,}", f"{pages:,.0f}", *waits, duration(cpu * files), ledger, *money))
    return "\n".join(lines) + "\n"


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3600:.1f} h"
