"""Settings: what was asked for, and how it is repeated."""

import dataclasses

import pytest
import yaml

from pipeline.config import compose


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        compose.load([]).seed = 1


def test_what_was_given_is_written_once_in_the_order_given():
    settings = compose.load(["trials=1e6", "freqs=0..4,5,6", "algorithm=[asm,apx]", "seed=1_0"])
    assert settings.words() == ["trials=1000000", "freqs=0..6", "algorithm=apx,asm", "seed=10"]


def test_how_settings_were_given_is_no_difference():
    assert compose.load(["freqs=0..14"]) == compose.load([])
    assert compose.load(["freqs=0..13"]) != compose.load([])


def test_words_are_replaced_in_place_added_at_the_end_and_left_out():
    settings = compose.load(["out=a", "freqs=3", "seed=1"])
    assert settings.words(out="b", extend="true", seed=None) == ["out=b", "freqs=3", "extend=true"]


def test_parameters_go_with_the_group_that_is_changed():
    settings = compose.load(["cluster=processes", "cluster.workers=2", "freqs=3"])
    assert settings.words(cluster="local") == ["cluster=local", "freqs=3"]
    assert settings.words(cluster=None) == ["freqs=3"]
    words = settings.words(**{"cluster.workers": 3})
    assert words == ["cluster=processes", "cluster.workers=3", "freqs=3"]


def test_yaml_has_every_setting_and_is_read_back():
    settings = compose.load(["trials=10,1000", "store_trials=none", "experiment=quality"])
    shown = yaml.safe_load(settings.to_yaml())
    assert list(shown) == [
        "freqs", "block_size", "algorithm", "trials", "precision", "seed", "unit_trials",
        "store_trials", "results", "storage", "out", "extend", "durable", "source", "operation",
        "selection", "cluster",
    ]  # fmt: skip
    assert (shown["trials"], shown["store_trials"]) == ([10, 1000], "none")
    assert compose.recorded(settings.to_yaml()) == settings
