#!/usr/bin/env python3
"""Makes the bugs of mutants.toml, one at a time in a copy of the project, and runs what has to catch each.

    python3 tests/mutants.py                    all of them, as a table
    python3 tests/mutants.py --only budget      those whose words hold this
    python3 tests/mutants.py --write docs/MUTANTS.md    puts the table where the document has its place for it

A bug that the simulation is to catch is given 10,000 seeds; the first that breaks a promise ends it. The exit code is 1 if one
was not caught.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
SEEDS = 10_000
# Seconds. What takes longer hangs, or never becomes quiet: a sound tree does neither.
LONGEST = 1_800


def copy(to):
    """A copy of what git knows of, without what was built. Files that are as they were keep their times."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=HOME, capture_output=True, text=True, check=True)
    for name in names.stdout.splitlines():
        source, target = HOME / name, to / name
        if not source.is_file():
            continue
        if target.is_file() and target.read_bytes() == source.read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    return to


def cargo(tree, build, args, **env):
    env = {**os.environ, "CARGO_TARGET_DIR": str(build), "RUST_BACKTRACE": "0", **env}
    command = ["cargo", "test", "--locked", "--quiet", *args]
    group = subprocess.Popen(command, cwd=tree, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        said, _ = group.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        os.killpg(group.pid, signal.SIGKILL)
        said, _ = group.communicate()
    return group.returncode, said


def by_simulation(tree, build):
    """Whether a seed broke a promise, and what is told of it."""
    limits = {"S3MIRRORD_SEEDS": str(SEEDS), "S3MIRRORD_STOP": "1", "S3MIRRORD_REPLAYS": "0"}
    code, said = cargo(tree, build, ["--test", "simulation", "--", "promises_hold"], **limits)
    if "error: could not compile" in said:
        return None, last_lines(said)
    bad = re.search(r"of (\d+) seeds broke a promise", said)
    if bad:
        return True, f"simulation, after {int(bad[1]):,} seeds"
    return bool(code), "simulation, which did not come to its end" if code else f"not by {SEEDS:,} seeds"


def by_test(tree, build, caught):
    *binary, name = caught.split()
    code, said = cargo(tree, build, [*binary, "--", name])
    if "error: could not compile" in said:
        return None, last_lines(said)
    red = sorted(set(re.findall(r"^test (\S+) .*FAILED$|^    (\S+)$", said, re.M)))
    names = sorted({(a or b).rsplit("::", 1)[-1] for a, b in red if "::" in (a or b)})
    if code and names:
        return True, ", ".join(f"`{name}`" for name in names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
    return False, last_lines(said) if code else f"`{caught}` stays green"


def last_lines(said):
    return " ".join(line for line in said.splitlines() if line.startswith("error"))[:200] or said[-200:]


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--only", default="", help="those whose words, file or promise hold this")
    args.add_argument("--work", type=Path, default=HOME / "target/mutants", help="where the copy lies and is built")
    args.add_argument("--write", type=Path, help="the document with a place for the table")
    args = args.parse_args()
    mutants = tomllib.loads((HOME / "tests/mutants.toml").read_text())["mutant"]
    mutants = [m for m in mutants if args.only in f"{m['promise']} {m['bug']} {m['file']}"]
    args.work.mkdir(parents=True, exist_ok=True)
    tree, build = copy(args.work / "tree"), args.work / "build"
    if not build.exists() and (HOME / "target/debug").exists():
        # what it depends on need not be built again
        shutil.copytree(HOME / "target/debug", build / "debug", symlinks=True, copy_function=shutil.copy2)
    rows, missed = [], 0
    for mutant in mutants:
        file, begun = tree / mutant["file"], time.monotonic()
        sound = file.read_text()
        assert sound.count(mutant["from"]) == 1, f"{mutant['bug']}: its text is not in {mutant['file']} once"
        file.write_text(sound.replace(mutant["from"], mutant["to"]))
        try:
            sim = mutant["caught"] == "simulation"
            red, by = by_simulation(tree, build) if sim else by_test(tree, build, mutant["caught"])
        finally:
            file.write_text(sound)
        missed += not red
        rows.append(f"| {mutant['promise']} | {mutant['bug']} | {by if red else '**not caught**: ' + by} |")
        print(f"{time.monotonic() - begun:6.0f} s {rows[-1]}", flush=True)
    table = "\n".join(["| promise | bug | caught by |", "|---|---|---|", *rows])
    if args.write:
        text = args.write.read_text()
        begin, end = "<!-- mutants -->", "<!-- /mutants -->"
        head, rest = text.split(begin)
        args.write.write_text(f"{head}{begin}\n{table}\n{end}{rest.split(end)[1]}")
    print(f"{len(rows) - missed} of {len(rows)} caught")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
