"""A server that speaks first, and another protocol than whoever asks."""

import socketserver
import sys


class Talker(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
        self.rfile.read(1)


if __name__ == "__main__":
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Talker) as server:
        print(f"talks at port {server.server_address[1]}", flush=True)
        server.serve_forever()
