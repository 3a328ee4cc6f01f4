"""What decides the numbers of a function: a change of it is seen, and nothing else is."""

import functools
import importlib
import sys

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.functions.code import code_of

MODULE = '''
import functools
import math

import numpy as np
import other
from other import helped

STRENGTH = 2.0
WEIGHTS = np.array([1.0, 2.0])
TABLE = {"a": [1, 2], "b": (3,)}
UNUSED = 7


def scaled(values):
    return STRENGTH * values


class Kernel:
    """Of use."""

    width = 3

    def of(self, values):
        return values * self.width + OFFSET


OFFSET = 1.0


@functools.cache
def table(size):
    return np.arange(size) * WEIGHTS[0]


def algorithm(batch, power=2.0):
    """What it does."""
    # Why.
    values = scaled(batch)

    def inner(x):
        return x + TABLE["a"][0] + other.shifted(x)

    return [inner(value) for value in values] + [Kernel().of(0), table(3), helped(), math.pi]
'''
OTHER = """
SHIFT = 1


def shifted(value):
    return value + SHIFT


def helped():
    return 5


def unused():
    return 6
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes the two modules, imports them anew, and gives the code of `algorithm`."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(*changes, name="algorithm", other=OTHER):
        text = MODULE
        for old, new in changes:
            assert (text + other).count(old) == 1, old
            text, other = text.replace(old, new), other.replace(old, new)
        for module, content in (("own_module", text), ("other", other)):
            (tmp_path / f"{module}.py").write_text(content)
            sys.modules.pop(module, None)
            # Of the same second and size: Python would take what it compiled before.
            (tmp_path / "__pycache__" / f"{module}.cpython-{sys.version_info[0]}"
             f"{sys.version_info[1]}.pyc").unlink(missing_ok=True)  # fmt: skip
        importlib.invalidate_caches()
        return code_of("algorithm.own", getattr(importlib.import_module("own_module"), name))

    yield write
    for module in ("own_module", "other"):
        sys.modules.pop(module, None)


CHANGES = {
    "itself": ("values = scaled(batch)", "values = scaled(batch) + 1"),
    "a default": ("power=2.0", "power=3.0"),
    "what it calls": ("return STRENGTH * values", "return STRENGTH + values"),
    "a constant": ("STRENGTH = 2.0", "STRENGTH = 2.5"),
    "an array": ("np.array([1.0, 2.0])", "np.array([1.0, 2.1])"),
    "the type of an array": ("np.array([1.0, 2.0])", "np.array([1.0, 2.0], 'f4')"),
    "a table": ('"a": [1, 2]', '"a": [1, 3]'),
    "a method": ("values * self.width", "values - self.width"),
    "an attribute of a class": ("width = 3", "width = 4"),
    "what a method uses": ("OFFSET = 1.0", "OFFSET = 1.5"),
    "what is cached": ("np.arange(size) *", "np.arange(size) +"),
    "another module of the user's": ("value + SHIFT", "value - SHIFT"),
    "a constant of another module": ("SHIFT = 1\n", "SHIFT = 2\n"),
    "what is imported by its name": ("return 5", "return 55"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_what_it_uses_is_seen(written, what):
    before = written()
    assert written(CHANGES[what]).name != before.name
    assert written().name == before.name


@pytest.mark.parametrize(
    "change",
    [
        ("# Why.", "# Because, and so on."),
        ('"""What it does."""', '"""What else\n    it does."""'),
        ("UNUSED = 7", "UNUSED = 8"),
        ("return 6", "return 66"),
        ("\nSTRENGTH", "\n\n\n\nSTRENGTH"),
        ('    """Of use."""\n', '    """Of no use."""\n'),
    ],
)
def test_comments_docstrings_and_what_is_not_used_do_not_count(written, change):
    before = written()
    assert written(change).name == before.name


def test_its_text_is_what_a_reader_needs(written, tmp_path):
    found = written()
    for line in ("def algorithm(batch, power=2.0):", "def scaled(values):", "STRENGTH = 2.0",
                 "def shifted(value):", "other.SHIFT = 1", "class Kernel:"):  # fmt: skip
        assert line in found.text or line.removeprefix("other.") in found.text, line
    assert "UNUSED" not in found.text
    assert found.folder == str(tmp_path)


def test_a_version_that_the_module_states_is_all_that_decides(written):
    before = written(("UNUSED = 7", "ASM_SWEEP_VERSION = 3"))
    assert before.name == "version 3"
    changed = written(("UNUSED = 7", "ASM_SWEEP_VERSION = 3"), CHANGES["itself"])
    assert changed.name == "version 3"
    assert written(("UNUSED = 7", "ASM_SWEEP_VERSION = 4")).name == "version 4"
    with pytest.raises(UserError, match=r"ASM_SWEEP_VERSION must be a number or text, got \[1\]"):
        written(("UNUSED = 7", "ASM_SWEEP_VERSION = [1]"))


def test_what_cannot_be_told_apart_is_refused_with_the_remedy(written):
    change = ("STRENGTH = 2.0", "STRENGTH = np.random.default_rng(0)")
    with pytest.raises(UserError, match=r"uses STRENGTH, a Generator, .* ASM_SWEEP_VERSION = 1"):
        written(change)
    assert written(change, ("UNUSED = 7", "ASM_SWEEP_VERSION = 1")).name == "version 1"


def test_a_file_that_was_changed_after_its_import_is_refused(written, tmp_path):
    written()
    module = sys.modules["own_module"]
    place = tmp_path / "own_module.py"
    place.write_text(MODULE.replace(*CHANGES["itself"]))
    with pytest.raises(UserError, match="has changed since it was imported: start Python again"):
        code_of("algorithm.own", module.algorithm)
    place.write_text("\n" + MODULE)
    with pytest.raises(UserError, match="has changed since"):
        code_of("algorithm.own", module.algorithm)
    place.write_text(MODULE)
    assert code_of("algorithm.own", module.algorithm).name == written().name


def made(strength, table):
    def inner(batch):
        return batch * strength + table[0]

    return inner


def test_what_a_function_was_made_with_counts():
    names = {
        code_of("x", made(*each)).name
        for each in [(1, [1]), (2, [1]), (1, [2]), (1, np.ones(1)), (1, (1,)), (1.0, [1])]
    }
    assert len(names) == 6
    assert code_of("x", made(1, [1])).name == code_of("x", made(1, [1])).name


def test_the_arguments_of_a_partial_count():
    def outer(function):
        return lambda batch: function(batch)

    one, other = (functools.partial(made, strength) for strength in (1, 2))
    assert code_of("x", outer(one)).name != code_of("x", outer(other)).name


def test_a_function_without_source_text_is_refused():
    known = {}
    exec("def own(batch):\n    return batch\n", known)
    with pytest.raises(UserError, match="the source text of own is not known"):
        code_of("algorithm.own", known["own"])


class Net:
    """Of a module of the user's."""

    scale = 1.0

    def __init__(self, gain):
        self.gain = gain

    def go(self, batch):
        return self.gain * batch

    @classmethod
    def scaled(cls, batch):
        return cls.scale * batch


def test_what_a_method_belongs_to_counts(monkeypatch):
    with pytest.raises(UserError, match=r"uses go.__self__, a Net, .* cannot be told apart"):
        code_of("algorithm.x", Net(1.0).go)
    before = code_of("algorithm.x", Net.scaled)
    # Set after the class was made.
    monkeypatch.setattr(Net, "scale", 2.0)
    assert code_of("algorithm.x", Net.scaled).name != before.name
    with pytest.raises(UserError, match="is a Net: give a function"):
        code_of("algorithm.x", Net(1.0))


blocks = np.zeros(3)


def of_blocks(batch):
    return batch.blocks


def reaching(batch):
    return globals()["blocks"] * batch


def reading(batch):
    return np.load("weights.npy") * batch


def importing(batch):
    import own_module  # noqa: PLC0415

    return own_module.scaled(batch)


def test_an_attribute_is_not_the_global_of_its_name(monkeypatch):
    before = code_of("algorithm.x", of_blocks)
    monkeypatch.setattr(sys.modules[__name__], "blocks", np.ones(3))
    assert code_of("algorithm.x", of_blocks).name == before.name


@pytest.mark.parametrize(("function", "name"), [(reaching, "globals"), (reading, "load")])
def test_what_is_reached_without_its_name_is_refused(monkeypatch, function, name):
    with pytest.raises(UserError, match=f"uses {name}, by which its numbers depend on what is not"):
        code_of("algorithm.x", function)
    monkeypatch.setattr(sys.modules[__name__], "ASM_SWEEP_VERSION", 2, raising=False)
    assert code_of("algorithm.x", function).name == "version 2"


def test_a_module_that_is_imported_within_counts(written):
    written()
    before = code_of("algorithm.x", importing)
    written(CHANGES["what it calls"])
    assert code_of("algorithm.x", importing).name != before.name
    written(CHANGES["an array"])
    assert code_of("algorithm.x", importing).name == before.name
