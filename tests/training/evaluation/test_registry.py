import inspect
from importlib import import_module

import pytest

from langcell.training.evaluation.registry import TASKS


@pytest.mark.parametrize("name", list(TASKS))
def test_every_task_has_a_module_that_takes_its_options(name):
    task = TASKS[name]
    module = import_module(f"langcell.training.evaluation.tasks.{task.module}")
    assert name == module.TASK
    parameters = dict(inspect.signature(module.run).parameters)
    parameters.pop("context")
    assert parameters.keys() == task.options.keys()
    for option, parameter in parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            assert parameter.default == task.options[option], option
        else:
            assert task.options[option] == "required"
    assert set(task.files) <= task.options.keys()


def test_options_that_a_task_lacks_or_needs_are_named():
    with pytest.raises(ValueError, match="zero-shot has no option 'shots'"):
        TASKS["zero-shot"].run(None, shots=3)
    with pytest.raises(ValueError, match=r"integration needs batch_column \(--batch-column\)"):
        TASKS["integration"].run(None)
