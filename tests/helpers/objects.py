"""Object stores on this machine, each behind a proxy that may answer badly."""

import base64
import hashlib
import hmac
import json
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from email.utils import formatdate
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import boto3

from helpers.faulty import Faults, faulty
from helpers.google import google
from helpers.servers import install
from pipeline.store import services

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


# Of the emulator, as its documentation has them.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


@contextmanager
def s3():
    """A server of S3: its address."""
    port = _free_port()
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _listening(words, port) as address:
        yield address


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def _listening(words, port):
    """A server's process, once it listens."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(words, **quiet)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, words
                assert time.monotonic() < deadline, words
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _client(upstream):
    """Another client than the program's."""
    return boto3.client(
        "s3", endpoint_url=upstream, aws_access_key_id="test", aws_secret_access_key="test",
        region_name="us-east-1",
    )  # fmt: skip


class Bucket:
    """A bucket of S3 behind a proxy; `url` is that of a folder in it which nothing else uses."""

    def __init__(self, proxy, upstream):
        self.proxy = proxy
        self.name = f"bucket-{uuid.uuid4().hex[:12]}"
        self.url = f"s3://{self.name}/results"
        self._client = _client(upstream)
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

    def publish(self):
        """Let everybody read it, and list it: otherwise an object that is not there is denied."""
        of_all = {"Effect": "Allow", "Principal": "*"}
        everything = f"arn:aws:s3:::{self.name}"
        rules = [
            {**of_all, "Action": "s3:GetObject", "Resource": f"{everything}/*"},
            {**of_all, "Action": "s3:ListBucket", "Resource": everything},
        ]
        policy = json.dumps({"Version": "2012-10-17", "Statement": rules})
        self._client.put_bucket_policy(Bucket=self.name, Policy=policy)


class GoogleBucket:
    """The same of Google Cloud Storage."""

    def __init__(self, proxy, stored):
        self.proxy = proxy
        self.name = f"bucket-{uuid.uuid4().hex[:12]}"
        self.url = f"gs://{self.name}/results"
        self._objects = stored.setdefault(self.name, {})

    @property
    def environment(self):
        return {"STORAGE_EMULATOR_HOST": self.proxy.url}

    def keys(self):
        return sorted(self._objects)

    def content(self, key):
        return self._objects[key][0]


class AzureContainer:
    """The same of Azure."""

    def __init__(self, proxy, upstream):
        self.proxy, self._upstream = proxy, upstream
        self.name = f"container-{uuid.uuid4().hex[:12]}"
        self.url = f"az://{self.name}/results"
        self._ask("PUT", self.name, {"restype": "container"})

    @property
    def environment(self):
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY,
            "AZURE_STORAGE_ENDPOINT": f"{self.proxy.url}/{ACCOUNT}",
        }  # fmt: skip

    def keys(self):
        text = self._ask("GET", self.name, {"comp": "list", "restype": "container"})
        return sorted(re.findall(r"<Blob><Name>([^<]+)</Name>", text.decode()))

    def content(self, key):
        return self._ask("GET", f"{self.name}/{key}")

    def _ask(self, method, path, query=None):
        """A request with the signature that Azure's documentation describes as Shared Key."""
        query = query or {}
        said = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        lines = [method, *[""] * 11, *(f"{name}:{value}" for name, value in sorted(said.items()))]
        resource = [f"/{ACCOUNT}/{ACCOUNT}/{path}", *(f"{k}:{v}" for k, v in sorted(query.items()))]
        text = "\n".join([*lines, *resource]).encode()
        digest = hmac.new(base64.b64decode(ACCOUNT_KEY), text, hashlib.sha256).digest()
        said["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
        url = f"{self._upstream}/{ACCOUNT}/{path}?{urlencode(query)}"
        with urlopen(Request(url, method=method, headers=said)) as answer:
            return answer.read()


@contextmanager
def azure(folder):
    """Azure's own emulator, installed into a folder: its address."""
    install("npm", "npm")
    install("node", "nodejs")
    subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", f"--prefix={folder}", "azurite@3"],
        check=True, cwd=folder, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    port = _free_port()
    script = f"{folder}/node_modules/azurite/dist/src/blob/main.js"
    words = ["node", script, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent",
             "--inMemoryPersistence", "--skipApiVersionCheck"]  # fmt: skip
    with _listening(words, port) as address:
        yield address


@contextmanager
def buckets():
    """A function that makes a new bucket of S3, behind a proxy."""
    with s3() as upstream, faulty(upstream) as proxy:
        yield lambda: Bucket(proxy, upstream)


@contextmanager
def google_buckets():
    """The same of Google Cloud Storage."""
    with google() as (upstream, stored), faulty(upstream) as proxy:
        yield lambda: GoogleBucket(proxy, stored)


@contextmanager
def azure_containers(folder):
    """The same of Azure; its emulator is installed into the folder."""
    with azure(folder) as upstream, faulty(upstream) as proxy:
        yield lambda: AzureContainer(proxy, upstream)


@contextmanager
def reached(bucket, monkeypatch):
    """The bucket, which this process reaches meanwhile, and whose proxy begins anew."""
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    bucket.proxy.faults, bucket.proxy.latency = Faults(), 0.0
    bucket.proxy.requests.clear()
    # A client is made of the environment.
    services._client.cache_clear()
    yield bucket
    bucket.proxy.faults, bucket.proxy.latency = Faults(), 0.0
    services._client.cache_clear()


def as_environment(variables):
    """The variables of this process with these."""
    return {**os.environ, **variables}
