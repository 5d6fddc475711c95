#!/usr/bin/env python3
"""Runs cargo-mutants on the pure floors: src/model, src/plan and src/queue, which need little to be built.

    python3 tests/pure.py                      all of them
    python3 tests/pure.py --file 'src/plan/*'  those of some files; this and all else is for cargo mutants

They are copied to target/pure, as a package of their own with the few crates that they use, in the versions of
Cargo.lock: of the whole one a mutant would take minutes. What came of it is in target/pure/mutants.out.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
PURE = HOME / "target" / "pure"
FLOORS = ("model", "plan", "queue")

HEAD = """[package]
name = "pure"
version = "0.0.0"
edition = "2024"

[lib]
doctest = false

[profile.dev]
opt-level = 1
debug = false
incremental = true
"""

LIB = """//! The pure floors of s3mirrord.
#[cfg(test)]
pub mod fuzzing;
"""


def requirements(table):
    """The crates that a table of our Cargo.toml asks for, by name, each as its line."""
    text = (HOME / "Cargo.toml").read_text()
    body = text.split(f"\n[{table}]\n", 1)[1].split("\n[", 1)[0]
    return {line.split(" ", 1)[0]: line for line in body.splitlines() if "=" in line}


def used(crates, text):
    return [line for name, line in crates.items() if re.search(rf"\b{name.replace('-', '_')}::", text)]


def package():
    """Writes the package anew; what was built of it stays."""
    for old in ("src", "fuzz", "proptest-regressions"):
        shutil.rmtree(PURE / old, ignore_errors=True)
    (PURE / "src").mkdir(parents=True)
    for floor in FLOORS:
        shutil.copytree(HOME / "src" / floor, PURE / "src" / floor)
        kept = HOME / "proptest-regressions" / floor
        if kept.is_dir():
            shutil.copytree(kept, PURE / "proptest-regressions" / floor)
    shutil.copy(HOME / "src" / "fuzzing.rs", PURE / "src")
    shutil.copytree(HOME / "fuzz" / "corpus" / "key", PURE / "fuzz" / "corpus" / "key")
    text = "".join(path.read_text() for floor in FLOORS for path in (PURE / "src" / floor).rglob("*.rs"))
    lines = ["[dependencies]", *used(requirements("dependencies"), text)]
    lines += ["", "[dev-dependencies]", *used(requirements("dev-dependencies"), text), "", "[workspace]", ""]
    (PURE / "Cargo.toml").write_text(HEAD + "\n" + "\n".join(lines))
    (PURE / "src" / "lib.rs").write_text(LIB + "".join(f"pub mod {floor};\n" for floor in FLOORS))
    # cargo takes out what is not asked for
    shutil.copy(HOME / "Cargo.lock", PURE)


def main():
    package()
    # what was copied may be changed where it lies, and the properties themselves are no code to be tested
    command = ["cargo", "mutants", "--dir", str(PURE), "--in-place", "--exclude", "src/**/fuzz.rs", "--exclude", "src/fuzzing.rs"]
    return subprocess.run([*command, *sys.argv[1:]], cwd=PURE).returncode


if __name__ == "__main__":
    sys.exit(main())
