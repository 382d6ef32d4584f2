import json
import subprocess
import sys

import pytest

from langcell.loading.adapter_base import base_of

FOLDER = r"The adapter mine was trained on my-model \(weights 0a1b\), which was a folder; name it: --model FOLDER"


@pytest.fixture
def write(tmp_path):
    def write(model_id):
        (folder := tmp_path / "mine").mkdir()
        facts = {"base": {"model_id": model_id, "weights": "0a1b"}}
        (folder / "config.json").write_text(json.dumps({"fine_tuning": facts}))
        (folder / "adapter_config.json").write_text("{}")
        return folder

    return write


@pytest.mark.parametrize("model_id", ["langcell-mini", "org/langcell"])
def test_the_bundled_model_and_the_hubs_can_be_found_again(write, model_id):
    assert base_of(write(model_id)) == model_id


@pytest.mark.parametrize("model_id", ["my-model", "./my-model"])
def test_a_folder_has_to_be_named(write, model_id):
    with pytest.raises(ValueError, match=FOLDER.replace("my-model", model_id)):
        base_of(write(model_id))


def test_what_is_no_adapter_is_refused(tmp_path):
    with pytest.raises(ValueError, match="absent is no folder; give the folder of the adapter"):
        base_of(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"is not a complete adapter: adapter_config\.json, "):
        base_of(tmp_path)


def test_the_command_line_finds_it_without_torch(write):
    code = (
        "import sys\n"
        "sys.argv = ['langcell']\n"
        "from langcell.loading.adapter_base import base_of\n"
        f"print(base_of({str(write('org/langcell'))!r}), 'torch' in sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "org/langcell False\n"
