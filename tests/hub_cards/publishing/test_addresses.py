import pytest

from langcell.hub_cards.publishing.addresses import address_card


def _block(*lines):
    return "\n".join(["```bash", *lines, "```"])


def test_commands_name_the_repository_and_prose_stays():
    card = "\n".join(
        [
            "# hub_cards/mini",
            _block("langcell annotate a.h5ad --model hub_cards/mini --labels x", "langcell x other/hub_cards/mini"),
            _block('AutoModel.from_pretrained("hub_cards/mini", trust_remote_code=True)'),
        ]
    )
    addressed = address_card(card, "model", "org/mini")
    assert "# hub_cards/mini" in addressed
    assert "--model org/mini --labels" in addressed
    assert "other/hub_cards/mini" in addressed
    assert 'from_pretrained("org/mini"' in addressed


def test_an_adapters_base_stays():
    code = _block('base = AutoModel.from_pretrained("langcell-mini")', 'PeftModel.from_pretrained(base, "blood")')
    addressed = address_card(code, "adapter", "org/blood")
    assert 'AutoModel.from_pretrained("langcell-mini")' in addressed
    assert 'PeftModel.from_pretrained(base, "org/blood")' in addressed


def test_a_command_that_reads_a_folder_gets_one():
    card = _block("langcell verify out", 'AutoModel.from_pretrained("out")')
    assert "hf download org/x --local-dir download\nlangcell verify download" in address_card(card, "model", "org/x")


@pytest.mark.parametrize("kind", ["model", "space"])
def test_a_card_without_commands_stays(kind):
    assert address_card("# A\ntext", kind, "org/a") == "# A\ntext"
