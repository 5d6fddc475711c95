"""A client that is not ours: boto3, asked over stdin and answering on stdout, one JSON value a line.

Names are told as the bytes that a key of rclone's S3 encoding stands for, one character (U+0000..U+00FF) a
byte, by a decoder that shares nothing with ours.
"""

import datetime
import hashlib
import json
import math
import os
import sys

import boto3
from botocore.config import Config

QUOTE = "\u201b"


def decode(key):
    """The bytes of the path that `key` stands for (rclone's lib/encoder: InvalidUtf8, Slash, Dot)."""
    return b"/".join(component(part) for part in key.split("/"))


def component(part):
    if part in ("\uff0e", "\uff0e\uff0e"):
        return b"." * len(part)
    out, at = b"", 0
    while at < len(part):
        char = part[at]
        at += 1
        if char == QUOTE and len(part) > at:
            pair = part[at : at + 2]
            if len(pair) == 2 and all(digit in "0123456789ABCDEF" for digit in pair):
                out += bytes([int(pair, 16)])
                at += 2
                continue
            char = part[at]
            at += 1
        elif char == "\u2400":
            char = "\0"
        elif char == "\uff0f":
            char = "/"
        out += char.encode()
    return out


class Outsider:
    def __init__(self, endpoint, access_key, secret_key, bucket):
        self.bucket = bucket
        self.seen = {}
        self.client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 8}),
        )

    def pages(self, operation, field, **words):
        for page in self.client.get_paginator(operation).paginate(Bucket=self.bucket, **words):
            yield from page.get(field, [])

    def listed(self, prefix):
        for entry in self.pages("list_objects_v2", "Contents", Prefix=prefix):
            name = entry["Key"][len(prefix) :]
            if not name.startswith(".s3mirrord/"):
                yield name, entry

    def keys(self, prefix):
        """As they are spelled."""
        return [name for name, _ in self.listed(prefix)]

    def list(self, prefix):
        """Name → size."""
        return {decode(name).decode("latin-1"): entry["Size"] for name, entry in self.listed(prefix)}

    def read(self, prefix):
        """Name → MD5, size and metadata, each object downloaded once a version."""
        told = {}
        for name, entry in self.listed(prefix):
            version = (entry["Key"], entry["ETag"], entry["LastModified"], entry["Size"])
            if version not in self.seen:
                try:
                    got = self.client.get_object(Bucket=self.bucket, Key=entry["Key"])
                except self.client.exceptions.NoSuchKey:
                    continue
                body = got["Body"].read()
                self.seen[version] = (hashlib.md5(body).hexdigest(), len(body), got["Metadata"])
            path = decode(name).decode("latin-1")
            if path in told:
                raise ValueError(f"two keys stand for {path!r}")
            told[path] = self.seen[version]
        return told

    def head(self, key):
        """The metadata of one object, now."""
        return self.client.head_object(Bucket=self.bucket, Key=key)["Metadata"]

    def facts(self, key):
        """What one object has beside its bytes: as HEAD has it, in words that JSON has."""
        where = {"Bucket": self.bucket, "Key": key}
        head = self.client.head_object(**where)
        until = head.get("ObjectLockRetainUntilDate")
        left = until and until - datetime.datetime.now(datetime.timezone.utc)
        tags = self.client.get_object_tagging(**where)["TagSet"]
        grants = self.client.get_object_acl(**where)["Grants"]
        return {
            "class": head.get("StorageClass", "STANDARD"),
            "sse": head.get("ServerSideEncryption"),
            "key": head.get("SSEKMSKeyId"),
            "bucket_key": head.get("BucketKeyEnabled"),
            "type": head["ContentType"],
            "cache": head.get("CacheControl"),
            "lock": head.get("ObjectLockMode"),
            "days": left and math.ceil(left / datetime.timedelta(days=1)),
            "tags": {tag["Key"]: tag["Value"] for tag in tags},
            "public": any(grant["Grantee"].get("URI", "").endswith("/AllUsers") for grant in grants),
            "origin": head["Metadata"].get("origin"),
            "mode": head["Metadata"].get("mode"),
        }

    def make_bucket(self, name):
        self.client.create_bucket(Bucket=name)

    def buckets(self):
        return sorted(bucket["Name"] for bucket in self.client.list_buckets()["Buckets"])

    def location(self):
        return self.client.get_bucket_location(Bucket=self.bucket)["LocationConstraint"]

    def download(self, key, path):
        """To a file, large ones in pieces side by side."""
        self.client.download_file(self.bucket, key, path)

    def fetch(self, prefix, directory):
        """All of it, as a script would that knows nothing of who wrote it."""
        for name, entry in self.listed(prefix):
            path = os.path.join(directory, name)
            if name.endswith("/"):
                os.makedirs(path, exist_ok=True)
            else:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                self.client.download_file(self.bucket, entry["Key"], path)

    def upload(self, path, key):
        """From a file, large ones in parts."""
        self.client.upload_file(path, self.bucket, key)

    def put(self, key, text):
        self.client.put_object(Bucket=self.bucket, Key=key, Body=text.encode())

    def copy(self, key, bucket, to):
        """In one request, metadata and all."""
        source = {"Bucket": self.bucket, "Key": key}
        self.client.copy_object(CopySource=source, Bucket=bucket or self.bucket, Key=to)

    def manage_copy(self, key, bucket, to):
        """As large as it may be."""
        self.client.copy({"Bucket": self.bucket, "Key": key}, bucket or self.bucket, to)

    def delete(self, *keys):
        """One by a request of its own, several by one."""
        if len(keys) == 1:
            self.client.delete_object(Bucket=self.bucket, Key=keys[0])
        else:
            objects = [{"Key": key} for key in keys]
            answer = self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": objects})
            if answer.get("Errors"):
                raise ValueError(answer["Errors"])

    def uploads(self, prefix):
        """Keys with an upload that is neither completed nor aborted."""
        return [upload["Key"] for upload in self.pages("list_multipart_uploads", "Uploads", Prefix=prefix)]

    def keep_versions(self):
        """From now on, all that was ever visible stays to be seen."""
        self.client.put_bucket_versioning(
            Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"}
        )

    def versions(self, prefix):
        """[name, MD5] of every content that was ever visible."""
        told = []
        for entry in self.pages("list_object_versions", "Versions", Prefix=prefix):
            name = entry["Key"][len(prefix) :]
            if not name.startswith(".s3mirrord/"):
                got = self.client.get_object(
                    Bucket=self.bucket, Key=entry["Key"], VersionId=entry["VersionId"]
                )
                told.append([decode(name).decode("latin-1"), hashlib.md5(got["Body"].read()).hexdigest()])
        return told


def main():
    outsider = Outsider(*sys.argv[1:])
    for line in sys.stdin:
        word, *rest = json.loads(line)
        print(json.dumps(getattr(outsider, word)(*rest)), flush=True)


main()
