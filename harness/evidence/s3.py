"""Evidence in a bucket of an S3-compatible store, over boto3.

An object is named after its SHA-256, sent in pieces where it is large, and an upload that broke off goes on where it
stopped. Each request carries the SHA-256 of its body within the signature, which the server compares; whatever is read
is hashed here again. The protocol: Amazon Simple Storage Service API Reference, version 2006-03-01.
"""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import importlib.util
import io
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from harness.errors import InfrastructureError, UsageError
from harness.evidence.s3_errors import Absent, kind_of, passing, trouble
from harness.evidence.store import (
    PIECE,
    RENEW_SECONDS,
    FolderStore,
    Kept,
    StoreAway,
    changed,
    changed_meanwhile,
    disk_errors,
    measured,
    missing,
    reading,
    whole_file,
)

T = TypeVar("T")

SCHEME = "s3://"
#: Names the address of a store that is not Amazon's; boto3 knows both.
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
#: What is larger is sent in pieces of this size, or larger ones: at most 10,000 pieces make an object, each but the
#: last has at least 5 MiB (Amazon S3 multipart upload limits).
PIECE_BYTES, MOST_PIECES = 8 << 20, 9000
#: What is larger cannot be copied by one request.
COPY_BYTES = 5 << 30
#: A store that answered before is waited for so many seconds; another one is not there.
AWAY_SECONDS, FIRST_SECONDS = 120.0, 3.0
PAUSE_SECONDS, LONGEST_PAUSE = 0.5, 5.0
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket, and what every key in it begins with: empty, or ending in a slash."""

    name: str
    prefix: str

    @classmethod
    def of(cls, place: str) -> Bucket:
        """Out of ``s3://BUCKET/PREFIX``.

        Raises:
            UsageError: it is none.
        """
        name, _, prefix = place.removeprefix(SCHEME).partition("/")
        parts = prefix.rstrip("/").split("/") if prefix.rstrip("/") else []
        if not _BUCKET.fullmatch(name) or any(part in ("", ".", "..") or not part.isprintable() for part in parts):
            raise UsageError(
                f"HARNESS_EVIDENCE={place} names no bucket", advice="for example: s3://harness-evidence/center"
            )
        return cls(name=name, prefix="".join(f"{part}/" for part in parts))


@dataclass
class S3Store:
    """Implements ``harness.evidence.store.EvidenceStore``.

    ``place``: ``s3://BUCKET/PREFIX``. ``cache``: a folder for what is needed as a file here. ``keys``: the variables
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; without them boto3 looks where it always does.

    Raises:
        UsageError: ``place`` names no bucket, or boto3 is not installed.
    """

    place: str
    cache: Path
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    _client: Any = field(default=None, repr=False)
    _answered: bool = False

    def __post_init__(self) -> None:
        self._bucket = Bucket.of(self.place)
        if importlib.util.find_spec("boto3") is None:
            raise UsageError(
                "evidence in an S3-compatible store needs the Python package boto3",
                advice="install it: pip install 'xinchuang-harness[s3]'",
            )

    @property
    def client(self) -> Any:
        """boto3's client; good for several threads."""
        if self._client is None:
            import boto3
            from botocore.config import Config

            endpoint = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), None)
            config = Config(
                signature_version="s3v4",
                s3={"addressing_style": "path" if endpoint else "auto", "payload_signing_enabled": True},
                # Older servers take a trailing checksum for a part of the body.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                retries={"mode": "standard", "total_max_attempts": 1},
                connect_timeout=10,
                read_timeout=60,
                max_pool_connections=32,
            )
            region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
            session = boto3.session.Session(
                aws_access_key_id=self.keys.get("AWS_ACCESS_KEY_ID"),
                aws_secret_access_key=self.keys.get("AWS_SECRET_ACCESS_KEY"),
                aws_session_token=self.keys.get("AWS_SESSION_TOKEN"),
                region_name=region or ("us-east-1" if endpoint else None),
            )
            self._client = session.client("s3", endpoint_url=endpoint, config=config)
        return self._client

    def _key(self, digest: str) -> str:
        return f"{self._bucket.prefix}sha256/{digest[:2]}/{digest}"

    def _ask(self, doing: str, operation: str, **values: Any) -> Any:
        """One request to the bucket, again where the store is away for a while."""
        return self._steadily(doing, lambda: getattr(self.client, operation)(Bucket=self._bucket.name, **values))

    def _steadily(self, doing: str, call: Callable[[], T]) -> T:
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        end = time.monotonic() + (AWAY_SECONDS if self._answered else FIRST_SECONDS)
        pause = PAUSE_SECONDS
        while True:
            try:
                answer = call()
            except (BotoCoreError, ClientError, HTTPError) as error:
                self._answered = self._answered or isinstance(error, ClientError)
                if not passing(error):
                    raise trouble(doing, self.place, error) from error
                if time.monotonic() + pause >= end:
                    raise StoreAway(
                        f"{doing}: the store {self.place} does not answer: {kind_of(error)}",
                        advice="check the server and AWS_ENDPOINT_URL_S3; what waits for it is tried again",
                    ) from error
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self._answered = True
                return answer

    # --- writing ---

    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self._put(digest, len(data), io.BytesIO(data))
        return digest

    def put_file(self, path: Path) -> str:
        digest, size = measured(path)
        with reading(path) as file:
            if not self._put(digest, size, file):
                raise changed_meanwhile(path)
        return digest

    def _put(self, digest: str, size: int, source: BinaryIO) -> bool:
        """Send it where it is not there; gives whether ``source`` held what it should."""
        there = self._head(digest)
        if there is not None and there.size == size:
            if there.age <= RENEW_SECONDS:
                return True
            with contextlib.suppress(Absent):  # removed meanwhile
                if size <= COPY_BYTES:
                    self._renew(digest)
                    return True
        if size > 2 * PIECE_BYTES:
            return self._put_in_pieces(digest, size, source)
        data = source.read(size + 1)
        if hashlib.sha256(data).hexdigest() != digest:
            return False
        self._ask("storing evidence", "put_object", Key=self._key(digest), Body=data)
        return True

    def _head(self, digest: str) -> Kept | None:
        with contextlib.suppress(Absent):
            head = self._ask("looking for evidence", "head_object", Key=self._key(digest))
            age = _date(head).timestamp() - head["LastModified"].timestamp()
            return Kept(digest=digest, size=int(head["ContentLength"]), age=age)
        return None

    def _renew(self, digest: str) -> None:
        """An object that is copied onto itself is as old as the copy."""
        source = {"Bucket": self._bucket.name, "Key": self._key(digest)}
        again = {"MetadataDirective": "REPLACE", "Metadata": {"renewed": str(int(time.time()))}}
        self._ask("renewing evidence", "copy_object", Key=self._key(digest), CopySource=source, **again)

    def _put_in_pieces(self, digest: str, size: int, source: BinaryIO) -> bool:
        """Send a large one; pieces of an upload that broke off, here or elsewhere, are not sent again."""
        key, doing = self._key(digest), "storing evidence"
        piece = max(PIECE_BYTES, -(-size // MOST_PIECES))
        upload, sent = self._unfinished(key)
        if not upload:
            upload = self._ask(doing, "create_multipart_upload", Key=key)["UploadId"]
        this = {"Key": key, "UploadId": upload}
        parts, hashed, number = [], hashlib.sha256(), 0
        try:
            while data := source.read(piece):
                number += 1
                hashed.update(data)
                tag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
                if sent.get(number) != (tag, len(data)):
                    tag = self._ask(doing, "upload_part", **this, PartNumber=number, Body=data)["ETag"]
                parts.append({"PartNumber": number, "ETag": tag})
            if hashed.hexdigest() != digest:
                self._ask(doing, "abort_multipart_upload", **this)
                return False
            self._ask(doing, "complete_multipart_upload", **this, MultipartUpload={"Parts": parts})
        except Absent:  # somebody else has completed, or removed, this upload
            pass
        there = self._head(digest)
        if there is None or there.size != size:
            raise InfrastructureError(
                f"{doing}: {digest} is not in {self.place} after it was sent", advice="try again; see the store's log"
            )
        return True

    def _unfinished(self, key: str) -> tuple[str, dict[int, tuple[str, int]]]:
        """An upload of this object that was begun and not ended: its id, and ETag and bytes of its pieces by number."""
        try:
            begun = self._ask("storing evidence", "list_multipart_uploads", Prefix=key).get("Uploads", [])
            own = [each for each in begun if each["Key"] == key]
            if not own:
                return "", {}
            upload = max(own, key=lambda each: each["Initiated"])["UploadId"]
            parts: dict[int, tuple[str, int]] = {}
            marker = 0
            while True:
                page = self._ask("storing evidence", "list_parts", Key=key, UploadId=upload, PartNumberMarker=marker)
                parts |= {each["PartNumber"]: (each["ETag"], each["Size"]) for each in page.get("Parts", [])}
                if not page.get("IsTruncated"):
                    return upload, parts
                marker = int(page["NextPartNumberMarker"])
        except StoreAway:
            raise
        except InfrastructureError:  # ended meanwhile; or whoever sends may not list
            return "", {}

    # --- reading ---

    def get(self, digest: str) -> bytes:
        sink = io.BytesIO()
        self._read(digest, sink)
        return sink.getvalue()

    def fetch(self, digest: str, target: Path) -> None:
        with whole_file(target) as sink:
            self._read(digest, sink)

    def check(self, digest: str) -> None:
        self._read(digest, None)

    def path(self, digest: str) -> Path:
        near = FolderStore(self.cache)
        target = near.path(digest)
        with contextlib.suppress(InfrastructureError):  # not there yet, or not whole any more
            near.check(digest)
            return target
        with disk_errors(f"making {target.parent}"):
            target.parent.mkdir(parents=True, exist_ok=True)
        self.fetch(digest, target)
        return target

    def _read(self, digest: str, sink: BinaryIO | None) -> None:
        """Read it into ``sink``, from the beginning where it was changed on its way: once."""
        for last in (False, True):
            if sink is not None:
                sink.seek(0)
                sink.truncate()
            if self._hashed(digest, sink) == digest:
                return
            if last:
                raise changed(digest)

    def _hashed(self, digest: str, sink: BinaryIO | None) -> str:
        """Read it; gives the SHA-256 of what came. A connection that breaks is taken up where it broke."""
        hashed, offset = hashlib.sha256(), 0

        def read() -> None:
            nonlocal offset
            rest = {"Range": f"bytes={offset}-"} if offset else {}
            answer = self.client.get_object(Bucket=self._bucket.name, Key=self._key(digest), **rest)
            with contextlib.closing(answer["Body"]) as body:
                for piece in body.iter_chunks(PIECE):
                    self._answered = True
                    hashed.update(piece)
                    offset += len(piece)
                    if sink is not None:
                        sink.write(piece)

        try:
            self._steadily(f"reading evidence {digest}", read)
        except Absent:
            raise missing(digest) from None
        return hashed.hexdigest()

    # --- for the owner ---

    def kept(self) -> Iterator[Kept]:
        more: dict[str, str] = {}
        while True:
            page = self._ask("listing evidence", "list_objects_v2", Prefix=f"{self._bucket.prefix}sha256/", **more)
            clock = _date(page).timestamp()
            for each in page.get("Contents", []):
                digest = each["Key"].rpartition("/")[2]
                yield Kept(digest=digest, size=each["Size"], age=clock - each["LastModified"].timestamp())
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def remove(self, digest: str, older: float) -> bool:
        there = self._head(digest)
        if there is None or there.age <= older:
            return False
        self._ask("removing evidence", "delete_object", Key=self._key(digest))
        return True

    def tidy(self, older: float) -> int:
        doing, count = "removing uploads that broke off", 0
        page = self._ask(doing, "list_multipart_uploads", Prefix=f"{self._bucket.prefix}sha256/")
        for each in page.get("Uploads", []):
            if (_date(page) - each["Initiated"]).total_seconds() > older:
                with contextlib.suppress(Absent):
                    self._ask(doing, "abort_multipart_upload", Key=each["Key"], UploadId=each["UploadId"])
                    count += 1
        return count


def _date(answer: Mapping[str, Any]) -> Any:
    """When the store answered, by its own clock."""
    return email.utils.parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
