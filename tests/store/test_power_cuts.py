"""Sweeps whose machine loses its power: what was not forced to the disk is lost, in any order.

The model: a file has the content of its last fsync, or else is as it was then, empty, of zeros, cut
in half, or whole; a folder has the names of its last fsync, and each that was added, removed or
replaced since then is so or is not, independently of all others.  Not modelled: disks that lose
what was forced to them, and file systems that damage what nobody writes.
"""

import os
import random
import shutil
import threading
from pathlib import Path

import pytest
from helpers.sweeps import assert_same_bits, execute, open_store

from pipeline.audit.repair import repair, restore_root
from pipeline.audit.verify import verify
from pipeline.run import rounds
from pipeline.store.leftovers import remove_leftovers
from pipeline.store.location import Location
from pipeline.store.store import Store

# Fourteen units of two cells; the second sweep grows what the first has stored.
FIRST = ["block_size=4,8", "freqs=0..2", "unit_trials=20", "trials=50"]
SECOND = [*FIRST[:3], "trials=130"]


FOLDER = "folder"


class Disk:
    """What power cuts at some moments would leave of a folder.

    A moment is just before a call of fsync, of replace, or of unlink.  Files are told apart by
    their inode; what was forced of one is kept with its name, since a file that is removed leaves
    its inode to another one.
    """

    def __init__(self, folder, moments, rng, patch):
        self._folder, self._moments, self._rng = folder, set(moments), rng
        self._lock = threading.RLock()
        self.count, self.cuts = 0, {}
        # What is there now was forced to the disk long ago.
        everything = [folder, *folder.rglob("*")]
        self._contents = {p.stat().st_ino: p.read_bytes() for p in everything if p.is_file()}
        self._names = {p: self._forced(p) for p in everything if p.is_dir()}
        for name in ("fsync", "replace", "unlink"):
            patch.setattr(os, name, self._watched(getattr(os, name), forces=name == "fsync"))

    def _watched(self, call, forces):
        def watched(*arguments, **options):
            with self._lock:
                self.count += 1
                if self.count in self._moments:
                    self.cuts[self.count] = dict(self._left(self._folder))
                done = call(*arguments, **options)
                if forces:
                    self._force(Path(os.readlink(f"/proc/self/fd/{arguments[0]}")))
                return done

        return watched

    def _force(self, path):
        if path.is_dir():
            self._names[path] = self._forced(path)
        else:
            self._contents[path.stat().st_ino] = path.read_bytes()

    def _left(self, folder):
        """Path and content of each file that a cut would leave below a folder."""
        forced, now = self._names.get(folder, {}), self._forced(folder)
        for name in sorted({*forced, *now}):
            found = self._rng.choice([forced.get(name), now.get(name)])
            if found == FOLDER:
                yield from self._left(folder / name)
            elif found is not None:
                yield folder / name, self._found(*found, folder / name)

    def _found(self, inode, forced, path):
        same = path.is_file() and path.stat().st_ino == inode
        now = path.read_bytes() if same else forced or b""
        if now == forced:
            return forced
        return self._rng.choice([forced or b"", b"", bytes(len(now)), now[: len(now) // 2], now])

    def _forced(self, folder):
        """What is in a folder by its name: FOLDER, or a file's inode and what was forced of it."""
        return {
            name: inode if inode == FOLDER else (inode, self._contents.get(inode))
            for name, inode in self._listed(folder).items()
        }

    @staticmethod
    def _listed(folder):
        """The inode of each file in a folder by its name; of a folder FOLDER."""
        try:
            return {e.name: FOLDER if e.is_dir() else e.inode() for e in os.scandir(folder)}
        except FileNotFoundError:
            return {}


def cut_off(path, arguments, moments, rng):
    """What cuts at some moments of a sweep leave, and how many moments there were."""
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(path.parent, moments, rng, patch)
        execute([*arguments, f"out={path}"], rounds.SilentObserver())
    return disk.cuts, disk.count


def put(folder, files):
    shutil.rmtree(folder)
    folder.mkdir()
    for file, content in files.items():
        if not file.name.endswith(".lock"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The stores after the first and the second sweep, with power all the time."""
    made = {}
    for name, arguments in (("first", FIRST), ("second", SECOND)):
        made[name] = tmp_path_factory.mktemp(name) / "s.zarr"
        execute([*arguments, f"out={made[name]}"], rounds.SilentObserver())
    return made


@pytest.fixture
def seed():
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    return seed


def is_mended(path):
    """Whether repair leaves nothing wrong; else something is said to be lost, with the remedy."""
    left = repair(open_store(path), verify(open_store(path), 0.0).problems)
    left = [each for each in left if not each.harmless]
    lost = [each for each in left if "or delete the store and run the sweep again" in each.words]
    assert bool(lost) == bool(left), left
    return not left


def moments_of(count, wanted, rng):
    return rng.sample(range(1, count + 1), min(wanted, count))


@pytest.mark.parametrize("wanted", [6, pytest.param(200, marks=pytest.mark.long)])
def test_what_a_durable_sweep_has_listed_is_there_after_a_power_cut(tmp_path, stores, wanted, seed):
    rng, path = random.Random(seed), tmp_path / "here" / "s.zarr"
    durable = [*SECOND, "durable=true"]

    def begin():
        shutil.rmtree(path.parent, ignore_errors=True)
        shutil.copytree(stores["first"], path)

    begin()
    _, count = cut_off(path, durable, [], rng)
    begin()
    cuts, _ = cut_off(path, durable, moments_of(count, wanted, rng), rng)
    assert len(cuts) == wanted
    for moment, left in cuts.items():
        put(path.parent, left)
        bad = [p.words for p in verify(open_store(path), 0.0).problems if not p.harmless]
        assert bad == [], (moment, bad)
        execute([*SECOND, f"out={path}"], rounds.SilentObserver())
        # A half-written file, where the lock beside the store was lost too: it does no harm.
        remove_leftovers(Location.of(path))
        assert_same_bits(path, stores["second"])


@pytest.mark.parametrize("wanted", [6, pytest.param(40, marks=pytest.mark.long)])
def test_what_a_power_cut_leaves_of_any_sweep_is_mended_or_said_to_be_lost(
    tmp_path, stores, wanted, seed
):
    rng, path = random.Random(seed), tmp_path / "here" / "s.zarr"
    location = Location.of(path)
    path.parent.mkdir()
    _, count = cut_off(path, SECOND, [], rng)
    put(path.parent, {})
    cuts, _ = cut_off(path, SECOND, moments_of(count, wanted, rng), rng)
    for left in cuts.values():
        put(path.parent, left)
        restore_root(location)
        if Store.find(location) is None:
            # Nothing of the store is on the disk, or nothing that says what it is.
            shutil.rmtree(path, ignore_errors=True)
        elif not is_mended(path):
            shutil.rmtree(path)
        execute([*SECOND, f"out={path}"], rounds.SilentObserver())
        # A half-written file, where the lock beside the store was lost too: it does no harm.
        remove_leftovers(Location.of(path))
        assert_same_bits(path, stores["second"])
