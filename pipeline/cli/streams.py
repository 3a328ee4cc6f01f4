"""Standard output and error of a process, where no line that cannot be shown ends a command."""

import codecs
import errno
import io
import os
import sys
from typing import Any

_ESCAPED = "asm_sweep_escaped"


class _Stream(io.FileIO):
    """A stream that goes on as if nothing were wrong once nobody reads it any more.

    The reader of a pipe has closed it, as `head` does, or a terminal has gone, as at the end of an
    ssh session.  What a command does, and its exit code, are then those that it has otherwise.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._gone = errno.EIO if self.isatty() else errno.EPIPE

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content)
        except OSError as error:
            if error.errno != self._gone:
                raise
            return memoryview(content).nbytes


def make_forgiving() -> None:
    r"""Replace the streams of this process.

    A character that the encoding does not have, as an umlaut in a path where it is ASCII, is
    written as Python writes it in a string, `\xfc`; bytes of a file's name that are no characters
    are written as they are.
    """
    codecs.register_error(_ESCAPED, _escaped)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # This process was started with it closed: what is printed goes nowhere.
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        # Whoever replaced a stream has other plans.
        if not isinstance(stream, io.TextIOWrapper):
            continue
        stream.flush()
        raw = _Stream(stream.fileno())
        forgiving = io.TextIOWrapper(
            # PYTHONUNBUFFERED asks for streams without a buffer.
            raw if stream.write_through else io.BufferedWriter(raw),
            encoding=stream.encoding,
            errors=_ESCAPED,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, forgiving)


def _escaped(error: UnicodeError) -> tuple[bytes | str, int]:
    """What is written in place of the first character that an encoding does not have."""
    assert isinstance(error, UnicodeEncodeError)
    one = UnicodeEncodeError(
        error.encoding, error.object, error.start, error.start + 1, error.reason
    )
    try:
        return codecs.lookup_error("surrogateescape")(one)
    except UnicodeEncodeError:
        return codecs.lookup_error("backslashreplace")(one)
