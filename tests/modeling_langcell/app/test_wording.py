import re

import pytest
from places import ROOT

from langcell.app.wording import in_page_words, least_confidence, with_names

# Options that messages on reading and naming cells may name, and which the page has or needs no control for.
READING = ["processing/cells", "processing/labels", "processing/containers", "processing/gene_naming"]
NOT_REACHED = {"--census-uri", "--dumpMtx", "--drop-unwritable", "--orthologs", "--with"}


def options_in_messages() -> set[str]:
    files = [path for place in READING for path in (ROOT / place).glob("*.py")]
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines() if '"' in line]
    return {option for line in lines for option in re.findall(r"(?<![\w-])--[a-z][\w-]+", line)}


def test_every_option_that_a_message_names_has_words_of_the_page():
    options = options_in_messages() - NOT_REACHED
    assert {"--x-is", "--layer", "--gene-column"} <= options
    left = [option for option in sorted(options) if "--" in in_page_words(f"x.h5ad: try ({option}) x")]
    assert not left


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param("check --x-is (x_is), or", "check “Values in the file” under More options, or", id="control"),
        pytest.param(
            "say --layer counts", "say counts as “Layer with the values” under More options", id="value_of_a_control"
        ),
        pytest.param(
            "Say what the values are (--x-is counts, linear, log1p or log2p), or",
            "Say what the values are (“Values in the file” under More options), or",
            id="choices",
        ),
        pytest.param("x.h5ad: no such file", "x.h5ad: no such file", id="nothing_to_change"),
    ],
)
def test_options_become_controls(line, words):
    assert in_page_words(line) == words


@pytest.mark.parametrize("text", ["much", "1.5", "-0.1", "nan"])
def test_a_least_confidence_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=f"“Least confidence” is '{text}'; give a number from 0 to 1"):
        least_confidence(text)


def test_accepted_names_take_the_place_of_whole_labels_only():
    typed = "alpha, alpha cell\nmine\tan alpha cell\nalpha"
    assert with_names(typed, {"alpha": "pancreatic A cell"}) == (
        "pancreatic A cell, alpha cell\nmine\tan alpha cell\npancreatic A cell"
    )
    assert with_names("a.b, x", {"a.b": "T cell, CD4"}) == '"T cell, CD4", x'
