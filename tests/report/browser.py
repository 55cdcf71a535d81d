"""A real browser, asked over its own pipe: Chromium without a window, in which no name of a host can be resolved."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from io import BytesIO

from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe"),
)
PATIENCE_SECONDS = 60


def find_browser():
    """Return the path of a browser, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """A browser with one page, and what the page complained of or asked the network for."""

    def __init__(self, command, profile):
        # Chromium reads requests from descriptor 3 and answers on 4; these two may be in use here.
        (to_read, self._to_write), (self._from_read, to_answer) = os.pipe(), os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (to_read, to_answer)]
        self._process = subprocess.Popen(
            [command, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=lambda: (os.dup2(ends[0], 3), os.dup2(ends[1], 4)),  # noqa: PLW1509 - no thread holds a lock then
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (to_read, to_answer, *ends):
            os.close(end)
        self._buffer, self._last, self._session = b"", 0, None
        self.complaints, self.requests, self._events = [], [], set()
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def close(self):
        for end in (self._to_write, self._from_read):
            os.close(end)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def ask(self, method, **params):
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to_write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._last:
            self._note(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, page, width, height, scheme):
        """Open a page at a size in pixels, with a preferred colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 600}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._events.clear()
        self.ask("Page.navigate", url=page.as_uri())
        while "Page.loadEventFired" not in self._events:
            self._note(self._next())

    def value(self, expression):
        """Return what a script says of the page."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def point_at(self, x, y):
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def screenshot(self, *, whole=False):
        """Return the window, or the whole page, as an image."""
        clip = {}
        if whole:
            size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"clip": {**size, "scale": 0.5}, "captureBeyondViewport": True}
        data = self.ask("Page.captureScreenshot", format="png", **clip)["data"]
        return Image.open(BytesIO(base64.b64decode(data))).convert("RGB")

    def _note(self, event):
        method, params = event.get("method"), event.get("params", {})
        self._events.add(method)
        if method in {"Runtime.exceptionThrown", "Log.entryAdded"}:
            self.complaints.append(params)
        if method == "Runtime.consoleAPICalled" and params["type"] in {"error", "warning"}:
            self.complaints.append(params)
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def _next(self):
        until = time.monotonic() + PATIENCE_SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from_read], [], [], max(0.0, until - time.monotonic()))
            assert ready, "the browser does not answer"
            content = os.read(self._from_read, 1 << 20)
            assert content, "the browser has ended"
            self._buffer += content
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)
