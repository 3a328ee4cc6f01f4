"""A configuration to write into."""

import shutil

import pytest

from pipeline.config import entries


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """A copy of conf/ to write into."""
    shutil.copytree(entries.CONF, tmp_path / "conf")
    monkeypatch.setattr(entries, "CONF", tmp_path / "conf")
    return tmp_path / "conf"
