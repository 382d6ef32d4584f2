import json
import subprocess
import sys

import pytest
from warm_python import warm_python

# What of these libraries the process has loaded, once the statements before are done.
LOADED = "import json, sys; print(json.dumps([x for x in ('torch', 'transformers', 'anndata') if x in sys.modules]))"
# As the `langcell` script does, whose name the package goes by.
COMMAND = (
    "import sys; sys.argv[0] = '/bin/langcell'\n"
    "from langcell.cli.commands import app\napp(sys.argv[1:], standalone_mode=False)"
)


def loaded_after(script: str, *words: str, python: tuple[str, ...] = (sys.executable,)) -> list[str]:
    done = subprocess.run([*python, "-c", f"{script}\n{LOADED}", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("words", [["--help"], ["annotate", "--help"], ["embed", "--help"], ["evaluate", "--help"]])
def test_help_needs_no_torch(words):
    assert loaded_after(COMMAND, *words) == []


@pytest.mark.parametrize(
    ("cells", "more", "message"),
    [
        pytest.param("no.h5ad", ["--labels", "B cell,B cell"], "no.h5ad: no such file or folder", id="no_file"),
        pytest.param("cells.h5ad", ["--labels", "B cell,B cell"], "Duplicate labels: 'B cell'", id="labels"),
        pytest.param("cells.h5ad", ["--labels-file", "no.txt"], "no.txt", id="no_labels_file"),
        pytest.param("cells.h5ad", ["--labels", "A,B", "--labels-file", "x.txt"], "by exactly one of", id="twice"),
    ],
)
def test_a_mistake_is_found_without_torch(tmp_path, cells, more, message):
    (tmp_path / "cells.h5ad").write_text("never read")
    words = ["annotate", str(tmp_path / cells), "-o", str(tmp_path / "out.h5ad"), *more]
    script = COMMAND.replace(
        "app(sys.argv[1:], standalone_mode=False)", "code = app(sys.argv[1:], standalone_mode=False)"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\n{LOADED}; print(code)", *words], capture_output=True, text=True
    )
    assert message in done.stderr
    assert done.stdout.splitlines()[-2:] == ["[]", "2"]


def test_importing_langcell_is_enough_for_the_auto_classes(tiny_model_dir):
    script = (
        "import langcell, sys\nfrom transformers import AutoModel, AutoProcessor\n"
        "assert type(AutoModel.from_pretrained(sys.argv[1])).__module__ == 'langcell.modeling_langcell'\n"
        "assert type(AutoProcessor.from_pretrained(sys.argv[1])).__name__ == 'LangCellProcessor'"
    )
    # A process that begins with torch alone.
    assert "transformers" in loaded_after(script, str(tiny_model_dir), python=(warm_python(), "-P"))


def test_every_public_name_can_be_had():
    import langcell

    assert all(getattr(langcell, name) is not None for name in langcell.__all__)
    assert set(langcell.__all__) <= set(dir(langcell))
    with pytest.raises(AttributeError, match="no attribute 'anotate'"):
        langcell.anotate  # noqa: B018
