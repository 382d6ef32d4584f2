from langcell.hub_cards.cards.space_cards import space_card


def test_it_has_the_settings_of_the_space_and_says_what_is_known():
    card = space_card(title="LangCell", sdk_version="6.0.0", models=["org/mini"], license_id="mit", data="Ten cells.")
    settings = card.data.to_dict()
    assert (settings["sdk"], settings["sdk_version"], settings["app_file"]) == ("gradio", "6.0.0", "app.py")
    assert settings["models"] == ["org/mini"]
    for text in (
        "# LangCell",
        "## Intended use",
        "langcell app --model org/mini",
        "## Sample data",
        "Ten cells.",
        "`mit`",
    ):
        assert text in card.text, text


def test_what_is_not_known_is_left_out():
    card = space_card(title="LangCell", sdk_version="6.0.0", summary="A " + "very " * 12 + "long one.")
    assert not {"license", "models", "python_version", "short_description"} & card.data.to_dict().keys()
    for heading in ("## Licence", "## Models", "## Sample data"):
        assert heading not in card.text
