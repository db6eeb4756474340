"""A product without faults of security; one that FAULTS names is then in it, on purpose."""

import http.server
import os

FAULTS = os.environ.get("FAULTS", "").split(",")


class Careful(http.server.BaseHTTPRequestHandler):
    def answer(self, status: int, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Set-Cookie", "visit=1; HttpOnly; SameSite=Lax; Path=/")
        self.end_headers()
        self.wfile.write(data)

    def version_string(self) -> str:
        return "careful"

    def do_GET(self) -> None:
        self.answer(200, "<html>hello</html>") if self.path in ("/", "/health") else self.answer(404, "not there")


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Careful).serve_forever()
