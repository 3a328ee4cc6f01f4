"""As much of Google Cloud Storage as a store of objects needs, by its XML interface, in memory.

As documented under cloud.google.com/storage/docs/xml-api: objects have a generation, by which
`x-goog-if-generation-match` makes writings conditional; 0 stands for no object.
"""

import hashlib
import threading
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

# As many names as a page of a list has at most.
PAGE = 1000


@contextmanager
def google():
    """A server: its address, and the objects of each bucket, {bucket: {key: (content, n)}}."""
    stored, locked = {}, threading.Lock()
    generations = iter(range(1, 1 << 62))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *args):
            """Nothing on standard error."""

        def _handle(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = urlsplit(self.path)
            bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
            with locked:
                if bucket not in stored:
                    return self._error(404, "NoSuchBucket")
                if not key:
                    return self._list(stored[bucket], parse_qs(parts.query))
                return getattr(self, f"_{self.command.lower()}")(stored[bucket], key, body)

        do_GET = do_PUT = do_HEAD = do_DELETE = _handle  # noqa: N815

        def _put(self, objects, key, body):
            wanted = self.headers.get("x-goog-if-generation-match")
            there = objects[key][1] if key in objects else 0
            if wanted is not None and int(wanted) != there:
                return self._error(412, "PreconditionFailed")
            objects[key] = body, next(generations)
            return self._say(200, b"", objects[key])

        def _get(self, objects, key, body):
            if key not in objects:
                return self._error(404, "NoSuchKey")
            content = objects[key][0]
            if asked := self.headers.get("Range"):
                first, last = asked.removeprefix("bytes=").split("-")
                stop = int(last) + 1 if last else len(content)
                content = content[int(first) : stop] if first else content[-int(last) :]
            return self._say(206 if asked else 200, content, objects[key])

        _head = _get

        def _delete(self, objects, key, body):
            if objects.pop(key, None) is None:
                return self._error(404, "NoSuchKey")
            return self._say(204, b"")

        def _list(self, objects, query):
            prefix, delimiter = (query.get(name, [""])[0] for name in ("prefix", "delimiter"))
            after = query.get("continuation-token", [""])[0]
            names = {}
            for key in sorted(objects):
                if key.startswith(prefix):
                    head, cut, _ = (
                        key[len(prefix) :].partition(delimiter) if delimiter else ("",) * 3
                    )
                    names[f"{prefix}{head}{cut}" if cut else key] = bool(cut)
            found = [name for name in sorted(names) if name > after]
            page, rest = found[:PAGE], found[PAGE:]
            text = "".join(
                f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
                if names[name]
                else f"<Contents><Key>{escape(name)}</Key><Size>{len(objects[name][0])}</Size>"
                "<LastModified>2024-01-01T00:00:00.000Z</LastModified>"
                f'<ETag>"{objects[name][1]}"</ETag></Contents>'
                for name in page
            )
            if rest:
                text += f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>"
            text += f"<IsTruncated>{str(bool(rest)).lower()}</IsTruncated>"
            self._say(200, f"<ListBucketResult>{text}</ListBucketResult>".encode())

        def _error(self, status, code):
            self._say(status, f"<Error><Code>{code}</Code></Error>".encode())

        def _say(self, status, content, stored=None):
            self.send_response_only(status)
            if stored:
                self.send_header("ETag", f'"{hashlib.md5(stored[0]).hexdigest()}"')
                self.send_header("Last-Modified", formatdate(usegmt=True))
                self.send_header("x-goog-generation", str(stored[1]))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", stored
    finally:
        server.shutdown()
        server.server_close()
