#!/usr/bin/env python3
"""Runs cargo-mutants on the pure floors: src/model, src/plan and src/queue, each against its own unit tests.

    python3 tests/pure.py                       all three
    python3 tests/pure.py plan                  one of them
    python3 tests/pure.py plan --file '*parts*' what comes behind is for cargo mutants

Each is copied to target/pure, as a package of its own with the few crates that it uses, in the versions of Cargo.lock: of the
whole one a mutant would take minutes. What came of them is in target/pure/FLOOR/mutants.out.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
PURE = HOME / "target" / "pure"
# and those below it
FLOORS = {"model": [], "plan": ["model"], "queue": ["model"]}

HEAD = """[package]
name = "{floor}"
version = "0.0.0"
edition = "2024"

[lib]
doctest = false

[profile.dev]
opt-level = 1
debug = false
incremental = true
"""


def requirements(table):
    """The crates that a table of our Cargo.toml asks for, by name, each as its line."""
    text = (HOME / "Cargo.toml").read_text()
    body = text.split(f"\n[{table}]\n", 1)[1].split("\n[", 1)[0]
    return {line.split(" ", 1)[0]: line for line in body.splitlines() if "=" in line}


def used(crates, text):
    return [line for name, line in crates.items() if re.search(rf"\b{name.replace('-', '_')}::", text)]


def package(floor):
    """Writes the package anew; what was built of it stays."""
    below, home = FLOORS[floor], PURE / floor
    for old in ("src", "fuzz", "proptest-regressions"):
        shutil.rmtree(home / old, ignore_errors=True)
    shutil.copytree(HOME / "src" / floor, home / "src" / floor)
    kept = HOME / "proptest-regressions" / floor
    if kept.is_dir():
        shutil.copytree(kept, home / "proptest-regressions" / floor)
    text = "".join(path.read_text() for path in (home / "src").rglob("*.rs"))
    lib = [f"//! {floor}, as a crate.", *(f"pub use {name}::{name};" for name in below), f"pub mod {floor};"]
    if "crate::fuzzing" in text:
        lib += ["#[cfg(test)]", "pub mod fuzzing;"]
        shutil.copy(HOME / "src" / "fuzzing.rs", home / "src")
        shutil.copytree(HOME / "fuzz" / "corpus", home / "fuzz" / "corpus")
    (home / "src" / "lib.rs").write_text("\n".join([*lib, ""]))
    lines = ["", "[dependencies]", *(f'{name} = {{ path = "../{name}" }}' for name in below)]
    lines += [*used(requirements("dependencies"), text), "", "[dev-dependencies]"]
    lines += [*used(requirements("dev-dependencies"), text), "", "[workspace]", ""]
    (home / "Cargo.toml").write_text(HEAD.format(floor=floor) + "\n".join(lines))
    # cargo takes out what is not asked for
    shutil.copy(HOME / "Cargo.lock", home)
    return home


def mutants(home, args):
    # what was copied may be changed where it lies, and the properties of fuzzing are no code to be tested
    command = ["cargo", "mutants", "--dir", str(home), "--in-place", "--exclude", "src/**/fuzz.rs", "--exclude", "src/fuzzing.rs"]
    env = {**os.environ, "CARGO_TARGET_DIR": str(PURE / "target")}
    return subprocess.run([*command, *args], cwd=home, env=env).returncode


def main():
    floors = [name for name in sys.argv[1:2] if name in FLOORS]
    args = sys.argv[1 + len(floors) :]
    homes = {floor: package(floor) for floor in FLOORS}
    return max(mutants(homes[floor], args) for floor in floors or FLOORS)


if __name__ == "__main__":
    sys.exit(main())
