"""A product that answers, and with ``bad`` keeps what it should forget, works in bursts and fills the system's log."""

import http.server
import sys
import threading
import time
from pathlib import Path

BAD = sys.argv[1] == "bad"
LOG = Path("/var/log/messages")
LOG.touch()
kept = []


def burst() -> None:
    while True:
        end = time.monotonic() + 8
        while time.monotonic() < end:
            pass
        time.sleep(8)


class Steady(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if BAD:
            kept.append(bytearray(160 * 1024))
        data = b"good"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        if BAD and len(kept) == 100:
            with LOG.open("a") as log:
                log.write("Nov 26 00:00:00 host kernel: I/O error on device vda\n")
                log.write("Nov 26 00:00:01 host app: all is well\n")


if BAD:
    threading.Thread(target=burst, daemon=True).start()
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Steady).serve_forever()
