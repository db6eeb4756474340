"""A product with faults of security, each on purpose; started with a secret as its argument."""

import http.server
import os
import socket
import subprocess
import sys
import traceback
from pathlib import Path

SECRET = sys.argv[1]
Path("/var/lib/leaky").mkdir(parents=True, exist_ok=True)
state = Path("/var/lib/leaky/state 状态.txt")
state.write_text(f"token={SECRET}\n")
state.chmod(0o644)
debug = socket.create_server(("0.0.0.0", 9999))
local = socket.create_server(("127.0.0.1", 9997))
beacon = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
beacon.bind(("0.0.0.0", 9998))

# Leaves its parent, its session and its environment: it is not known to be the product's by any of them.
AWAY = "import socket, time; end = socket.create_server(('0.0.0.0', 9996)); time.sleep(3600)"
subprocess.run(["/usr/bin/setsid", "-f", sys.executable, "-c", AWAY], env={}, cwd=os.sep, check=True)


class Leaky(http.server.BaseHTTPRequestHandler):
    def answer(self, status: int, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Set-Cookie", "leak=1; Path=/")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        try:
            if self.path == "/health":
                self.answer(200, "good")
            elif self.path == "/static/":
                self.answer(200, "<html><title>Index of /static/</title></html>")
            elif self.path == "/":
                self.answer(200, "<html>hello</html>")
            else:
                self.answer(200, {}[self.path])
        except KeyError:
            self.answer(500, f"<pre>{traceback.format_exc()}</pre>")

    def do_TRACE(self) -> None:
        self.answer(200, str(self.headers))


http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Leaky).serve_forever()
