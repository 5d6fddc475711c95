"""Where it was measured."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from sidebyside.clients import Client


def describe(clients: dict[str, Client], work: Path) -> str:
    """The machine and the versions, as Markdown."""
    programs = {client.program: client for client in clients.values()}
    versions = [client.version() for client in programs.values()]
    where = f"Linux {platform.release()}; trees and bodies on {file_system(work)}"
    return f"- {model()}, {os.cpu_count()} cores, {memory():.0f} GiB; {where}\n- {'; '.join(versions)}\n"


def load() -> float:
    """How many processes wanted a core in the last minute."""
    return os.getloadavg()[0]


def when(before: float) -> str:
    """The day, and how calm the machine was."""
    return f"{time.strftime('%Y-%m-%d')}; load average {before:.1f} before, {load():.1f} after.\n"


def model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def memory() -> float:
    """GiB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)


def file_system(path: Path) -> str:
    """The type of the file system that `path` is on."""
    best, name = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if str(path.resolve()).startswith(where) and len(where) >= len(best):
            best, name = where, kind
    return name
