"""The lock of a store at a URL: an object that whoever holds it writes again and again.

It is made on the condition that there is none, and written on the condition that it is still what
its holder wrote last.  Somebody else sees it change, and need not know whether the holder's process
lives, or on which machine; no clock is compared with another.  Where it has not changed for half a
minute, it is taken over.  Whoever held it finds that out at the next writing.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.errors import NOT_THERE, StoreLostError
from pipeline.store.location import Location
from pipeline.store.objects import Tag

# How often the lock is written at least, and after how long without it is taken over.  An object
# store that throttles may keep a writing waiting for ten seconds and more.
_BEAT, _OLD = 2.0, 30.0
_BETWEEN_LOOKS = 0.5
# After so long a user is told what is waited for.
_SECONDS_TO_SAY = 4.0


class TakenError(Exception):
    """Somebody else holds the lock; `content` says who."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        super().__init__(content)
        self.content = content


class Lease:
    """A lock that is held, and renewed by a thread of its own."""

    def __init__(self, store: Location, file: Location, content: dict[str, Any], tag: Tag) -> None:
        self._store, self._file, self._tag = store, file, tag
        self.content, self._lost = content, False
        self._renewed = time.monotonic()
        self._writing, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lock", daemon=True)
        self._thread.start()

    def publish(self, **progress: Any) -> None:
        """Renew the lock, and add these values to what others can read in it.

        Raises
        ------
        StoreLostError
            Where it has been taken over.
        OSError
            Where it cannot be written.
        """
        with self._writing:
            if self._lost:
                raise self._taken_over()
            self.content |= progress
            self.content["beat"] = self.content.get("beat", 0) + 1
            tag = self._file.swap(json.dumps(self.content).encode(), self._tag)
            if tag is None:
                self._lost = True
                raise self._taken_over()
            self._tag, self._renewed = tag, time.monotonic()

    def release(self) -> None:
        """Remove the lock, unless somebody else has taken it over."""
        self._ended.set()
        self._thread.join()
        # Of what cannot be removed others see that it does not change.
        with suppress(OSError, StoreLostError):
            self.publish()
            self._file.remove()

    def _beat(self) -> None:
        while not self._ended.wait(_BEAT):
            if time.monotonic() - self._renewed >= _BEAT / 2:
                # What is not written now is written next time; what is lost, `publish` says again.
                with suppress(OSError, StoreLostError):
                    self.publish()

    def _taken_over(self) -> StoreLostError:
        return StoreLostError(
            f"the lock of {self._store} was taken over by another sweep, since this one had not "
            f"renewed it for {_OLD:.0f} seconds"
        )


def take(
    store: Location,
    file: Location,
    content: dict[str, Any],
    notify: Callable[[str], None] = lambda line: None,
) -> tuple[Lease, bool]:
    """Take the lock of a store, and say whether an earlier holder had left it behind.

    Raises
    ------
    TakenError
        Where somebody else holds it.
    OSError
        Where it can be neither read nor written.
    """
    content = {**content, **identity_of_process()}
    ours = json.dumps(content).encode()
    while True:
        left: Tag | None = None
        # Where another one is faster, in either way, it is looked at anew.
        tag = file.swap(ours, None)
        if tag is None and (left := left_behind(store, file, notify)):
            tag = file.swap(ours, left)
        if tag is not None:
            return Lease(store, file, content, tag), left is not None


def left_behind(
    store: Location, file: Location, notify: Callable[[str], None] = lambda line: None
) -> Tag | None:
    """The tag of a lock that nobody renews, once that is known; None where there is no lock.

    Raises
    ------
    TakenError
        Where its holder is seen to live.
    """
    began, said = time.monotonic(), False
    seen: Tag | None = None
    while True:
        try:
            text, found = file.read_tagged()
        except NOT_THERE:
            return None
        content = decoded(text)
        lives, waited = may_live(content), time.monotonic() - began
        if lives is True or (seen is not None and found != seen):
            raise TakenError(content)
        if lives is False or waited > _OLD:
            return found
        seen = found
        if waited > _SECONDS_TO_SAY and not said:
            said = True
            notify(
                f"{store} was being written by process {content.get('pid', 'unknown')} on "
                f"{content.get('host', 'unknown')}: looking for {_OLD:.0f} seconds whether it "
                "lives."
            )
        time.sleep(_BETWEEN_LOOKS)


def decoded(text: bytes) -> dict[str, Any]:
    """The content of a lock; {} where it is none."""
    with suppress(ValueError):
        content = json.loads(text)
        if isinstance(content, dict):
            return content
    return {}


def identity_of_process() -> dict[str, Any]:
    """What tells this process from all others, while this machine runs; {} where that is unknown.

    In containers a host has one name, and every program number 1.
    """
    with suppress(OSError, IndexError):
        booted = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        numbers = os.readlink("/proc/self/ns/pid")
        return {"machine": f"{booted} {numbers}", "since": _since(os.getpid())}
    return {}


def may_live(content: Mapping[str, Any]) -> bool | None:
    """Whether the process that wrote a lock lives; None where this machine cannot tell."""
    ours = identity_of_process()
    if not ours or content.get("machine") != ours["machine"]:
        return None
    try:
        return bool(_since(int(content["pid"])) == content.get("since"))
    except (OSError, ValueError, KeyError, IndexError):
        return False


def _since(pid: int) -> int:
    """When a process began, in clock ticks since this machine was started."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    # The name of the program, in brackets, may have spaces and brackets.
    return int(text.rpartition(")")[2].split()[19])
