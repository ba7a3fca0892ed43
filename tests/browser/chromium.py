"""Just enough of Chromium's DevTools protocol to look at a page and type into it.

It rides on websocket-client, which JupyterLab's server already needs, so a contributor installs a browser and
nothing else.
"""

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import websocket

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync "
    "--disable-component-update --disable-dev-shm-usage --remote-debugging-port=0 --window-size=1300,2200"
)
KEYS = {"ArrowRight": 39, "Enter": 13, "Tab": 9, " ": 32, "Delete": 46, "3": 51}


@contextmanager
def chromium(profile: Path):
    """Run headless Chromium with a fresh profile; gives its only page."""
    flags = [*FLAGS.split(), f"--user-data-dir={profile}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")
    process = subprocess.Popen([BROWSER, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = wait(lambda: (profile / "DevToolsActivePort").read_text().split()[0], "Chromium", 30)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as reply:
            target = next(t for t in json.load(reply) if t["type"] == "page")
        yield Page(target["webSocketDebuggerUrl"])
    finally:
        process.terminate()
        process.wait(20)


class Page:
    """One page of the browser, driven by keys, the mouse and JavaScript."""

    def __init__(self, address: str) -> None:
        self.socket = websocket.create_connection(address, timeout=300, suppress_origin=True)
        self.sent = 0
        # A headless page has no focus, and JupyterLab's current widget is the focused one.
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def call(self, method: str, **params) -> dict:
        self.sent += 1
        self.socket.send(json.dumps(dict(id=self.sent, method=method, params=params)))
        while True:
            reply = json.loads(self.socket.recv())
            if reply.get("id") == self.sent:
                if "error" in reply:
                    raise RuntimeError(f"{method}: {reply['error']['message']}")
                return reply["result"]

    def js(self, expression: str):
        """The value of a JavaScript expression, awaited if it is a promise."""
        reply = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in reply:
            raise RuntimeError(reply["exceptionDetails"]["exception"].get("description", expression))
        return reply["result"].get("value")

    def until(self, expression: str, seconds: float = 30):
        """The value of the expression once it is true; errors on the way mean not yet."""
        return wait(lambda: self.js(expression), expression, seconds)

    def press(self, key: str) -> None:
        code = dict(key=key, code="Space" if key == " " else key, windowsVirtualKeyCode=KEYS[key])
        if len(key) == 1 or key == "Enter":
            code["text"] = "\r" if key == "Enter" else key
        self.call("Input.dispatchKeyEvent", type="keyDown", **code)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        for kind, (x, y) in [("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)]:
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


def wait(ready, what: str, seconds: float):
    """The first true value of `ready()`; raises TimeoutError, with the last error, when none comes."""
    end, last = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            if value := ready():
                return value
        except (OSError, RuntimeError, ValueError, LookupError, StopIteration) as error:
            last = error
        time.sleep(0.05)
    raise TimeoutError(f"waited {seconds} s for {what}; last error: {last}")
