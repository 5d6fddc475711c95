"""Where the clients upload to: the embedded server, whose requests can be counted, or an endpoint of the reader's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sidebyside.measure import Failed


@dataclass
class Store:
    """An S3 endpoint, and how to sign for it."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str

    def requests(self) -> dict[str, int] | None:
        """Requests so far by operation; None if the store cannot be asked."""
        return None

    def far(self, far: bool) -> None:
        """Moves it away, or back."""
        raise Failed("only the embedded server can be moved")


class Embedded(Store):
    """`s3mirrord demo --server-only`, alone on a free port, gone with all it holds at the end."""

    def __init__(self, binary: Path, scratch: Path, latency: str = "0s") -> None:
        command = [str(binary), "demo", "--server-only", "--listen", "127.0.0.1:0", "--bucket", "bench"]
        environment = {"PATH": os.environ["PATH"], "TMPDIR": str(scratch)}
        self.process = subprocess.Popen(
            [*command, "--latency", latency], env=environment, stdout=subprocess.PIPE, text=True
        )
        told = self.told("listening")
        super().__init__(told["endpoint"], told["access_key"], told["secret_key"], told["bucket"])

    def told(self, event: str) -> dict:
        """Its next line, which must be of this event."""
        line = self.process.stdout.readline()
        if not line or json.loads(line)["event"] != event:
            raise Failed(f"the embedded server said {line!r} instead of {event!r}")
        return json.loads(line)

    def requests(self) -> dict[str, int]:
        self.process.send_signal(signal.SIGUSR1)
        return self.told("so_far")["requests"]

    def far(self, far: bool) -> None:
        self.process.send_signal(signal.SIGUSR2)
        if self.told("latency")["on"] is not far:
            raise Failed("the embedded server is where it was")

    def stop(self) -> None:
        """Ends it; what it held is gone."""
        self.process.terminate()
        self.process.stdout.read()
        self.process.wait()


def since(before: dict[str, int] | None, after: dict[str, int] | None) -> dict[str, int] | None:
    """What was asked between two counts."""
    if before is None or after is None:
        return None
    return {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}
