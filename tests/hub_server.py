"""A model hub on this machine, as small as huggingface_hub allows: what really happens on a bad connection.

Names begin with what is wrong with them. ``embeded`` does not exist, ``gated/model`` asks for a login, ``cut/model``
closes the connection in the middle of the weights until ``plugged_in`` is set, ``rotten/model`` sends noise for
weights until then and ``muddled/model`` for its config, ``huge/model`` is a thousand times as wide, ``encoder/model`` a
BERT. Any other name works.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves one directory under every name; ``asked`` lists each request as "METHOD path"."""

    def __init__(self, directory: Path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {file.name: file.read_bytes() for file in sorted(directory.iterdir())}
        self.asked: list[str] = []
        self.plugged_in = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def log_message(self, *args):
        pass

    def answer(self, body: bool) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        path = self.path.split("?")[0].strip("/").split("/")
        if path[:2] == ["api", "models"] and path[2] != "embeded":
            listing = json.dumps(self.tree() if "tree" in path else {"id": "/".join(path[2:4]), "sha": COMMIT})
            self.send(200, listing.encode(), {"Content-Type": "application/json"})
        elif path[0] == "api":
            self.send(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif path[0] == "gated":
            self.send(403, b"", {"X-Error-Code": "GatedRepo"})
        else:
            data = self.file(path[0], path[-1])
            headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
            is_cut = path[0] == "cut" and path[-1].endswith(".safetensors") and not self.server.plugged_in
            self.send(200, data, headers, until=len(data) // 2 if is_cut else None, body=body)

    def tree(self) -> list[dict]:
        """What the hub's API says of a model's files."""
        return [
            {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for name, data in self.server.files.items()
        ]

    def file(self, trouble: str, name: str) -> bytes:
        data = self.server.files[name]
        noisy = {"rotten": ".safetensors", "muddled": "config.json"}.get(trouble)
        if noisy and name.endswith(noisy) and not self.server.plugged_in:
            return b"\xff" * len(data)
        if trouble in ("huge", "encoder") and name == "config.json":
            config = json.loads(data)
            config |= {"n_embd": 1000 * config["n_embd"]} if trouble == "huge" else {"model_type": "bert"}
            return json.dumps(config).encode()
        return data

    def send(self, status: int, data: bytes, headers: dict, until: int | None = None, body: bool = True) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(data)), "Connection": "close"}).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data[:until])


@contextmanager
def hub(directory: Path) -> Iterator[Hub]:
    """A running hub that serves this Hugging Face directory under every name."""
    with Hub(directory) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
