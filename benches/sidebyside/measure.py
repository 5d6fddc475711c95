"""One command, and what it cost: wall time, CPU time and peak memory of it and its children, by `wait4`."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

Environment = dict[str, str]


class Failed(Exception):
    """A command or a promise failed; the message is for the reader."""


@dataclass
class Run:
    """What one run of one command cost."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds, user and system, of the process and of the children it waited for; not the server's."""
    rss: float
    """MiB, the largest of them at its largest."""
    requests: dict[str, int] | None = None
    """By S3 operation, as the server counted; None if it cannot be asked."""
    output: str = field(default="", repr=False)
    """The end of its standard output."""


def measure(command: list[str], environment: Environment, scratch: Path) -> Run:
    """Runs `command` to its end.

    A process begins as a copy of this one, so a peak below this one's own size cannot be told from it: nothing
    large is kept here, and what is large (making trees) happens in processes of their own.
    """
    with open(scratch / "stdout", "w+b") as stdout, open(scratch / "stderr", "w+b") as stderr:
        begun = time.monotonic()
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
        confine(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            what = f"`{Path(command[0]).name}` ended with {process.returncode}"
            raise Failed(f"{what}\n{' '.join(command)}\n{tail(stdout)}{tail(stderr)}")
        return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output=tail(stdout))


def confine(process: int) -> None:
    """Half of the machine's memory, so that a client that takes more ends itself and not the server."""
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    with suppress(ProcessLookupError):
        resource.prlimit(process, resource.RLIMIT_AS, (half, half))


def tail(file, size: int = 4096) -> str:
    """The end of an open file, as text."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - size))
    return file.read().decode(errors="replace")


def opened_files(command: list[str], environment: Environment, root: Path, scratch: Path) -> int | None:
    """How many regular files below `root` the command opened for reading; None where strace cannot trace.

    Whoever reads content has to open it first. Directories and path-only descriptors are no content.
    """
    log = scratch / "strace"
    # whole names: strace cuts strings at 32 bytes otherwise
    trace = ["strace", "-f", "-qq", "-y", "-s", "4096", "-e", "trace=open,openat,openat2", "-o", str(log)]
    try:
        subprocess.run([*trace, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    subprocess.run([*trace, *command], env=environment, check=True, capture_output=True)
    answer = re.compile(r"= \d+<(.*)>$")
    with open(log, errors="replace") as lines:
        answers = (
            answer.search(line.rstrip())
            for line in lines
            if "O_PATH" not in line and "O_DIRECTORY" not in line
        )
        names = {found.group(1) for found in answers if found}
    log.unlink()
    return sum(name.startswith(f"{root}/") and not os.path.isdir(name) for name in names)


def apart(work) -> None:
    """Does `work()` in a process of its own, so that what it takes is not counted as a command's."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1] != 0:
        raise Failed("the tree could not be made")
