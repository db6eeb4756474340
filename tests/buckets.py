"""An S3-compatible store of the tests' own: Ceph's object gateway over a monitor and a storage daemon that keeps its
data in memory, all from Debian's packages; and a proxy before it that breaks what a test wants broken."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

#: In Debian's names: what setup/host.sh --tests installs.
PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph-authtool", "monmaptool", "ceph")
CONFIGURATION = """[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{first},v1:127.0.0.1:{second}]
mon initial members = a
public network = 127.0.0.0/8
run dir = {folder}
admin socket = {folder}/$name-$pid.asok
log file = {folder}/$name.log
crash dir = {folder}
keyring = {folder}/keyring
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}/rgw
mon cluster log to file = false
mon allow pool size one = true
paxos propose interval = 0.05
paxos min wait = 0.01
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 1073741824
osd class load list = *
osd class default list = *
ms bind ipv6 = false
rgw thread pool size = 32
"""
#: What a worker may do: read and add. It takes no object away, and no policy.
WORKER_ACTIONS = (
    "s3:GetObject",
    "s3:PutObject",
    "s3:ListBucket",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
    "s3:ListBucketMultipartUploads",
)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Gateway:
    """A server with a user ``center``; ``bucket()`` gives the name of a new bucket."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.keys = {"AWS_ACCESS_KEY_ID": secrets.token_hex(8), "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)}
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {**self.keys, "AWS_ENDPOINT_URL_S3": self.endpoint}

    def _run(self, *words: str | Path) -> str:
        done = subprocess.run(
            [words[0], "-c", self.folder / "ceph.conf", *words[1:]], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def _begin(self, *words: str | Path) -> None:
        with (self.folder / f"{words[0]}.out").open("wb") as log:
            process = subprocess.Popen(
                [words[0], "-f", "-c", self.folder / "ceph.conf", *words[1:]], stdout=log, stderr=log
            )
        self.processes.append(process)

    def start(self) -> None:
        fsid, first, second = str(uuid.uuid4()), free_port(), free_port()
        text = CONFIGURATION.format(fsid=fsid, folder=self.folder, first=first, second=second)
        (self.folder / "ceph.conf").write_text(text)
        for name in ("mon", "osd", "rgw"):
            (self.folder / name).mkdir()
        ring, monmap = self.folder / "keyring", self.folder / "monmap"
        rights = {
            "mon.": ["mon", "allow *"],
            "client.admin": ["mon", "allow *", "osd", "allow *"],
            "osd.0": ["mon", "allow profile osd", "osd", "allow *"],
        }
        for number, (name, capabilities) in enumerate(rights.items()):
            pairs = zip(capabilities[::2], capabilities[1::2], strict=True)
            words = [word for kind, value in pairs for word in ("--cap", kind, value)]
            begin = ["--create-keyring"] if not number else []
            subprocess.run(
                ["ceph-authtool", ring, *begin, "--gen-key", "-n", name, *words], check=True, capture_output=True
            )
        address = f"[v2:127.0.0.1:{first},v1:127.0.0.1:{second}]"
        subprocess.run(
            ["monmaptool", "--create", "--addv", "a", address, "--fsid", fsid, monmap], check=True, capture_output=True
        )
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", ring)
        self._begin("ceph-mon", "-i", "a")
        own = str(uuid.uuid4())
        self._run("ceph", "--connect-timeout", "30", "osd", "new", own)
        self._run("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", own)
        self._begin("ceph-osd", "-i", "0")
        self.user("center", self.keys)
        self._begin(
            "radosgw", "-n", "client.admin", "--keyring", ring, f"--rgw-frontends=beast endpoint=127.0.0.1:{self.port}"
        )
        self._wait()

    def _wait(self) -> None:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert self.processes[-1].poll() is None, (self.folder / "radosgw.out").read_text()
            time.sleep(0.05)
        raise AssertionError("the gateway does not answer")

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.send_signal(signal.SIGKILL)
            process.wait()

    def user(self, name: str, keys: dict[str, str]) -> None:
        words = ("--access-key", keys["AWS_ACCESS_KEY_ID"], "--secret", keys["AWS_SECRET_ACCESS_KEY"])
        self._run("radosgw-admin", "user", "create", "--uid", name, "--display-name", name, *words)

    def quota(self, bucket: str, megabytes: int) -> None:
        """Let the bucket's content be no larger."""
        own = ("--quota-scope=bucket", "--uid", "center", "--bucket", bucket)
        self._run("radosgw-admin", "quota", "set", *own, f"--max-size={megabytes}M")
        self._run("radosgw-admin", "quota", "enable", *own)

    def client(self, keys: dict[str, str] | None = None) -> Any:
        used = keys or self.keys
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=used["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=used["AWS_SECRET_ACCESS_KEY"],
            config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
        )

    def bucket(self) -> str:
        name = f"evidence-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=name)
        return name

    def workers(self, bucket: str, *names: str) -> list[dict[str, str]]:
        """Keys of new users who may read and add, and remove nothing."""
        made = []
        for name in names:
            made.append({"AWS_ACCESS_KEY_ID": secrets.token_hex(8), "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)})
            self.user(name, made[-1])
        places = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        workers = {
            "Effect": "Allow",
            "Principal": {"AWS": [f"arn:aws:iam:::user/{name}" for name in names]},
            "Action": list(WORKER_ACTIONS),
            "Resource": places,
        }
        # In this server an object belongs to who put it.
        owner = {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/center"]}, "Action": "s3:*"}
        policy = {"Version": "2012-10-17", "Statement": [workers, {**owner, "Resource": places}]}
        self.client().put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
        return made


@contextlib.contextmanager
def gateway() -> Iterator[Gateway]:
    """Start a server, and end it."""
    if absent := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise AssertionError(f"not installed: {absent}; run: sh setup/host.sh --tests")
    folder = Path(tempfile.mkdtemp(prefix="s3-", dir="/tmp"))
    running = Gateway(folder)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


#: Status and S3 error code that the proxy answers with; or the body that it sends on.
Broken = tuple[int, str] | bytes | None


class Proxy:
    """Between a store and its user. ``up(method, path, body)`` may change what is sent, or answer for the store;
    ``down(method, path, body)`` may change what comes back. ``seen``: method, path and bytes of every request."""

    def __init__(self, target: Gateway) -> None:
        self.target, self.port = target, free_port()
        self.up: Callable[[str, str, bytes], Broken] = lambda _method, _path, body: body
        self.down: Callable[[str, str, bytes], bytes] = lambda _method, _path, body: body
        self.seen: list[tuple[str, str, int]] = []
        self.away = False
        self._server: ThreadingHTTPServer | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {**self.target.keys, "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.port}"}

    def start(self) -> None:
        self.away = False
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """From now on connections are refused, and those that stand are cut."""
        self.away = True
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if proxy.away:
                    self.close_connection = True
                    return
                proxy.seen.append((self.command, self.path, len(body)))
                sent = proxy.up(self.command, self.path, body)
                if sent is None:
                    self.close_connection = True
                    return
                if isinstance(sent, tuple):
                    self._answer(sent[0], {}, f"<Error><Code>{sent[1]}</Code></Error>".encode())
                    return
                upstream = http.client.HTTPConnection("127.0.0.1", proxy.target.port, timeout=60)
                try:
                    headers = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
                    upstream.request(self.command, self.path, body=sent or None, headers=headers)
                    answer = upstream.getresponse()
                    data = answer.read()
                    self._answer(answer.status, dict(answer.getheaders()), proxy.down(self.command, self.path, data))
                finally:
                    upstream.close()

            def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response_only(status)
                for name, value in headers.items():
                    if name.lower() not in ("transfer-encoding", "connection") and not (
                        name.lower() == "content-length" and self.command != "HEAD"
                    ):
                        self.send_header(name, value)
                if self.command != "HEAD" and status not in (204, 304):
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    with contextlib.suppress(OSError):
                        self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass

            def log_message(self, *_words: object) -> None:
                """Nothing is printed."""

        return Handler


@contextlib.contextmanager
def proxied(target: Gateway) -> Iterator[Proxy]:
    """A proxy before a store, and its end."""
    proxy = Proxy(target)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
