"""The examples in the help of the public functions run as they are written."""

import doctest
import inspect

import pytest

import pipeline

FUNCTIONS = [name for name in pipeline.__all__ if inspect.isfunction(getattr(pipeline, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_help_has_an_example_that_runs(name, elsewhere):
    function = getattr(pipeline, name)
    found = doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    (example,) = (each for each in found if each.examples)
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(example, out=report.append)
    assert runner.failures == 0, "".join(report)
    assert runner.tries > 1
