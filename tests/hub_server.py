"""A Hugging Face hub on this machine: the part of its protocol that listing and downloading need."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.ThreadingHTTPServer):
    """Serves what is in `served`, address → content, and keeps what was asked for in `requests`.

    An address in `cut` breaks its connection off after that many bytes, once.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.served: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.cut: dict[str, int] = {}

    def add(self, folder: Path, repo: str, revision: str = COMMIT) -> None:
        """Serve and list every file of a folder; those that are no JSON are kept in LFS."""
        siblings = []
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name, content = str(path.relative_to(folder)), path.read_bytes()
            self.served[f"/{repo}/resolve/{revision}/{name}"] = content
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            entry: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": git}
            if path.suffix != ".json":
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"size": len(content), "sha256": digest, "pointerSize": 130}
            siblings.append(entry)
        listing = {"id": repo, "modelId": repo, "sha": revision, "siblings": siblings}
        self.served[f"/api/models/{repo}/revision/{revision}"] = json.dumps(listing).encode()

    def environment(self, home: Path) -> dict[str, str]:
        """What a process needs to see this hub and no other; the hub's library reads it when it is imported."""
        return os.environ | {
            "HF_ENDPOINT": f"http://127.0.0.1:{self.server_port}",
            "HF_HOME": str(home / "hub-home"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
            "CROSSFADE_CACHE": str(home / "cache"),
        }

    def run(self, home: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python code in a process of its own."""
        command = [sys.executable, "-c", code, *arguments]
        environment = self.environment(home)
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub in a thread."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        address, wanted = urlsplit(self.path).path, self.headers.get("Range")
        self.server.requests.append(f"{self.command} {address}" + (f" {wanted}" if wanted else ""))
        content = self.server.served.get(address)
        body = content or b""
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        self.send_response(404 if content is None else 206 if wanted else 200)
        if content is None:
            self.send_header("X-Error-Code", "EntryNotFound")
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if with_body:
            self.wfile.write(body[start : self.server.cut.pop(address, len(body))])

    def log_message(self, *arguments: object) -> None:
        """Keep the test's output clean."""
