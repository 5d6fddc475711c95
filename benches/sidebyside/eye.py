"""A reader's eye on the bucket: GET and HEAD by presigned URLs, over one connection, with nothing but the library."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import time
from urllib.parse import quote, urlencode, urlsplit

from sidebyside.store import Store


class Eye:
    """Looks at objects; not for several threads."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.host = urlsplit(store.endpoint).netloc
        self.connection = http.client.HTTPConnection(self.host, timeout=60)

    def ask(self, method: str, key: str, words: dict[str, str] | None = None, body: bytes = b"") -> tuple[int, bytes]:
        """The status and the body of an answer."""
        answer, body = self.answer(method, key, words, body)
        return answer.status, body

    def answer(
        self, method: str, key: str, words: dict[str, str] | None = None, body: bytes = b""
    ) -> tuple[http.client.HTTPResponse, bytes]:
        url = self.presigned(method, key, words or {})
        self.connection.request(method, url, body=body)
        answer = self.connection.getresponse()
        return answer, answer.read()

    def presigned(self, method: str, key: str, words: dict[str, str]) -> str:
        """Signature Version 4 by query, payload unsigned (S3 API reference, *Authenticating Requests*)."""
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        scope = f"{now[:8]}/us-east-1/s3/aws4_request"
        words = words | {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self.store.access_key}/{scope}",
            "X-Amz-Date": now,
            "X-Amz-Expires": "3600",
            "X-Amz-SignedHeaders": "host",
        }
        path = quote(f"/{self.store.bucket}/{key}" if key else f"/{self.store.bucket}")
        query = urlencode(sorted(words.items()), quote_via=quote, safe="")
        request = "\n".join([method, path, query, f"host:{self.host}", "", "host", "UNSIGNED-PAYLOAD"])
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(request.encode()).hexdigest()])
        seal = f"AWS4{self.store.secret_key}".encode()
        for part in scope.split("/"):
            seal = hmac.digest(seal, part.encode(), "sha256")
        return f"{path}?{query}&X-Amz-Signature={hmac.digest(seal, text.encode(), 'sha256').hex()}"

    def is_there(self, key: str) -> bool:
        return self.ask("HEAD", key)[0] == 200

    def read(self, key: str) -> bytes | None:
        """The object's bytes; None if there is none."""
        status, body = self.ask("GET", key)
        return body if status == 200 else None

    def tag(self, key: str) -> str | None:
        """The object's ETag; None if there is none."""
        answer, _ = self.answer("HEAD", key)
        return answer.headers["ETag"] if answer.status == 200 else None

    def tagged(self, key: str) -> tuple[str, bytes]:
        """The ETag and the bytes of an object that is there."""
        answer, body = self.answer("GET", key)
        return answer.headers["ETag"], body

    def put(self, key: str, body: bytes) -> None:
        self.ask("PUT", key, body=body)

    def open_uploads(self) -> int:
        """Multipart uploads that nobody completed."""
        return self.ask("GET", "", {"uploads": ""})[1].count(b"<UploadId>")

    def count(self, prefix: str) -> int:
        """Objects below the prefix, our own records left out."""
        words, count = {"list-type": "2", "prefix": prefix}, 0
        while True:
            body = self.ask("GET", "", words)[1].decode()
            keys = [part.split("</Key>")[0] for part in body.split("<Key>")[1:]]
            count += sum(".s3mirrord/" not in key for key in keys)
            if "<NextContinuationToken>" not in body:
                return count
            token = body.split("<NextContinuationToken>")[1].split("</NextContinuationToken>")[0]
            words = words | {"continuation-token": token}
