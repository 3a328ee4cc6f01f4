"""Object stores on this machine, each behind a proxy that may answer badly."""

import os
import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager

import boto3

from helpers.faulty import faulty

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


@contextmanager
def s3():
    """A server of S3: its address."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, "no server of S3"
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


class Bucket:
    """A bucket of S3 behind a proxy; `url` is that of a folder in it which nothing else uses."""

    def __init__(self, proxy, upstream):
        self.proxy = proxy
        self._client = boto3.client(
            "s3", endpoint_url=upstream, aws_access_key_id="test", aws_secret_access_key="test",
            region_name="us-east-1",
        )  # fmt: skip
        self.name = f"bucket-{uuid.uuid4().hex[:12]}"
        self.url = f"s3://{self.name}/results"
        self._client.create_bucket(Bucket=self.name)

    @property
    def environment(self):
        """The variables by which a program reaches it."""
        return {**KEYS, "AWS_ENDPOINT_URL": self.proxy.url}

    def keys(self):
        """Every key, by the server itself, and by another client than the program's."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return sorted(each["Key"] for page in pages for each in page.get("Contents", []))

    def content(self, key):
        """The bytes of an object."""
        return self._client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def put(self, key, content):
        """Write an object."""
        self._client.put_object(Bucket=self.name, Key=key, Body=content)


@contextmanager
def buckets():
    """A function that makes a new bucket, behind a proxy of its own."""
    with s3() as upstream, faulty(upstream) as proxy:
        yield lambda: Bucket(proxy, upstream)


def as_environment(variables):
    """The variables of this process with these."""
    return {**os.environ, **variables}
