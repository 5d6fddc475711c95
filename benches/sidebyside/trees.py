"""The directories that are mirrored: made once, the same every time, with times that lie in the past."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sidebyside.measure import apart

LONG_AGO = 1_700_000_000
"""When the first file was last written; the peers send again what is younger than its object."""


@dataclass(frozen=True)
class Tree:
    """So many files of one size, spread evenly over directories."""

    files: int
    directories: int
    size: int

    def path(self, number: int) -> str:
        each = -(-self.files // self.directories)
        return f"site-{number // each:05}/images/picture-{number:08}.jpeg"

    def __str__(self) -> str:
        files = "one file" if self.files == 1 else f"{self.files:,} files"
        where = "one directory" if self.directories == 1 else f"{self.directories:,} directories"
        return f"{files} of {amount(self.size)} in {where}"

    def make(self, work: Path) -> Path:
        """The directory; taken as it is if an earlier run kept it."""
        root = work / "trees" / f"{self.files}-in-{self.directories}-of-{self.size}"
        done = root.with_suffix(".done")
        if not done.exists():
            shutil.rmtree(root, ignore_errors=True)
            apart(lambda: self._write(root))
            done.touch()
        return root

    def _write(self, root: Path) -> None:
        block = os.urandom(min(self.size, 1 << 20))
        directory = None
        for number in range(self.files):
            path = root / self.path(number)
            if directory != path.parent:
                directory = path.parent
                directory.mkdir(parents=True)
            fill(path, number, self.size, block)


@dataclass(frozen=True)
class Mixed:
    """A tree as people have it: many small files, few large ones, whose sizes are log-normal and sum to `total`."""

    files: int
    total: int

    def __str__(self) -> str:
        sizes = sorted(self.sizes())
        middle, largest = amount(sizes[len(sizes) // 2]), amount(sizes[-1])
        return (
            f"{self.files:,} files of log-normal sizes, {amount(self.total)} in all, the median {middle}, "
            f"the largest {largest}"
        )

    def sizes(self) -> list[int]:
        """The same every time: sigma 2.5 gives a median of a twentieth of the mean."""
        dice = random.Random(1)
        drawn = [dice.lognormvariate(0, 2.5) for _ in range(self.files)]
        scale = self.total / sum(drawn)
        return [max(1, int(one * scale)) for one in drawn]

    def make(self, work: Path) -> Path:
        """The directory; taken as it is if an earlier run kept it."""
        root = work / "trees" / f"{self.files}-mixed-of-{self.total}"
        done = root.with_suffix(".done")
        if not done.exists():
            shutil.rmtree(root, ignore_errors=True)
            apart(lambda: self._write(root))
            done.touch()
        return root

    def _write(self, root: Path) -> None:
        block = os.urandom(1 << 20)
        for number, size in enumerate(self.sizes()):
            path = root / f"project-{number // 100:04}/file-{number:06}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            fill(path, number, size, block)


def fill(path: Path, number: int, size: int, block: bytes) -> None:
    """Writes a file that is like no other of its tree: nothing may be taken for a rename or a copy."""
    with open(path, "wb", buffering=0) as file:
        file.write(number.to_bytes(8, "big")[:size])
        left = size - min(size, 8)
        while left > 0:
            left -= file.write(block[: min(left, len(block))])
    when = LONG_AGO + number % 10_000_000
    os.utime(path, (when, when))


def warm(root: Path) -> None:
    """Has the kernel know every inode of the tree, so that no client pays for the others."""
    subprocess.run(["du", "-s", str(root)], check=True, stdout=subprocess.DEVNULL)


def occupied(directory: Path) -> int:
    """Bytes that the files below take on disk."""
    files = (path.stat() for path in directory.rglob("*") if path.is_file())
    return sum(stat.st_blocks * 512 for stat in files)


def amount(size: float) -> str:
    """Bytes as people say them."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.4g} {unit}"
        size /= 1024
    raise AssertionError
