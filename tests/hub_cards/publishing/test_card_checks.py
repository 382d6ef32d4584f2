import pytest

from langcell.hub_cards.cards.repository_kinds import ADAPTER, MODEL, SPACE
from langcell.hub_cards.publishing.card_checks import check_card, sections

METADATA = "license: mit\nlibrary_name: transformers"
TEXT = "# Title\n\n## Training data\n\nCells of mice.\n"


def _problems(metadata=METADATA, text=TEXT, kind=MODEL, files=(), folder="."):
    return check_card(folder, f"---\n{metadata}\n---\n\n{text}", kind, list(files))


def test_a_card_with_all_of_it_is_fine():
    assert _problems() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"metadata": "license: ["}, "cannot be read", id="no_yaml"),
        pytest.param({"metadata": "library_name: transformers"}, "no license", id="no_licence"),
        pytest.param({"metadata": METADATA.replace("mit", "The MIT License")}, "small letters", id="licence_in_words"),
        pytest.param({"metadata": METADATA.replace("mit", "other")}, "without license_name", id="other_licence"),
        pytest.param({"metadata": f"{METADATA}\nbase_model: a/b/c"}, "no Hub id", id="base_is_no_id"),
        pytest.param({"metadata": f"{METADATA}\ndatasets: [../x]"}, "no Hub id", id="dataset_is_no_id"),
        pytest.param({"metadata": f"{METADATA}\nmodel-index: [{{}}]"}, "cannot be read", id="model_index"),
        pytest.param({"metadata": "license: mit"}, "library_name None", id="no_library"),
        pytest.param({"kind": ADAPTER}, "it is peft", id="library_of_an_adapter"),
        pytest.param({"text": "# Title\n\n## Training data\n\n## Limits\n\nmany"}, "what data", id="empty_section"),
        pytest.param({"text": TEXT.removeprefix("# Title")}, "no heading", id="no_heading"),
        pytest.param({"text": f"{TEXT}[More Information Needed]"}, "never filled", id="template"),
        pytest.param({"text": TEXT + "{{ licence }}"}, "never filled: {{ licence }}", id="placeholder"),
    ],
)
def test_what_lacks_is_named(changes, message):
    (problem,) = _problems(**changes)
    assert message in problem
    assert problem.startswith("README.md")
    assert "\n" not in problem


def test_no_metadata_at_all():
    (problem,) = check_card(".", TEXT, MODEL, [])
    assert "no metadata" in problem


def test_datasets_in_the_metadata_are_data_sources():
    assert _problems(metadata=f"{METADATA}\ndatasets: [org/cells]", text="# Title\n") == []


def test_braces_in_code_are_no_placeholder():
    assert _problems(text=TEXT + "```\n{{ x }}\n```\n") == []


SPACE_METADATA = "title: T\nsdk: gradio\nsdk_version: 6.0.0\napp_file: app.py\nlicense: mit"


@pytest.fixture
def space(tmp_path):
    for name in ("app.py", "requirements.txt"):
        (tmp_path / name).write_text("")
    return tmp_path


def test_a_space_with_all_of_it_is_fine(space):
    assert _problems(SPACE_METADATA, "# T\n", SPACE, folder=space) == []


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        pytest.param(SPACE_METADATA.replace("sdk: gradio", "sdk: flask"), "has sdk 'flask'", id="sdk"),
        pytest.param(SPACE_METADATA.replace("sdk_version: 6.0.0\n", ""), "no sdk_version", id="version"),
        pytest.param(SPACE_METADATA.replace("app.py", "main.py"), "names app_file main.py", id="app_file"),
        pytest.param(SPACE_METADATA.replace("title: T\n", ""), "no title", id="title"),
        pytest.param(f"{SPACE_METADATA}\nshort_description: {'a' * 61}", "more than 60", id="description"),
    ],
)
def test_what_a_space_lacks(space, metadata, message):
    (problem,) = _problems(metadata, "# T\n", SPACE, folder=space)
    assert message in problem


def test_sample_data_need_a_source(space):
    (problem,) = _problems(SPACE_METADATA, "# T\n", SPACE, ["sample.h5ad"], space)
    assert "does not say where sample.h5ad comes from" in problem
    assert _problems(SPACE_METADATA, "# T\n## Sample data\nTen.\n", SPACE, ["sample.h5ad"], space) == []


def test_headings_in_code_are_none():
    assert sections("# A\n```\n# comment\n```\n## B\ntext") == {"a": "```\n# comment\n```", "b": "text"}
