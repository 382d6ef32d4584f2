"""The card of a Space: the settings that it is started with, and the page that says what it is for."""

from collections.abc import Sequence

from huggingface_hub import SpaceCard, SpaceCardData

from langcell.hub_cards.cards.cards import fill_template

_TAGS = ("langcell", "single-cell", "transcriptomics", "biology")
_LONGEST_DESCRIPTION = 60  # the Hub refuses more


def space_card(
    *,
    title: str,
    sdk_version: str,
    app_file: str = "app.py",
    models: Sequence[str] = (),
    summary: str = "Name the cells of a single-cell data set by text.",
    data: str | None = None,
    license_id: str | None = None,
    licence: str | None = None,
    python_version: str | None = None,
) -> SpaceCard:
    """Return the card of a Gradio Space; what is not given is left out of it.

    Args:
        title: heading.
        sdk_version: version of Gradio that it runs with.
        app_file: the script that starts it.
        models: Hub ids of the models that it uses.
        summary: a sentence on what it does; also its short description where it is short enough.
        data: where sample data come from, in Markdown.
        license_id: the Hub's identifier, such as "apache-2.0".
        licence: the licences of the Space and of its sample data in words.
        python_version: such as "3.11".
    """
    metadata = SpaceCardData(
        title=title,
        sdk="gradio",
        sdk_version=sdk_version,
        python_version=python_version,
        app_file=app_file,
        license=license_id,
        models=list(models) or None,
        tags=list(_TAGS),
        short_description=summary if len(summary) <= _LONGEST_DESCRIPTION else None,
    )
    values = {
        "title": title,
        "summary": summary,
        "models": models,
        "data": data,
        "licence": licence or (f"`{license_id}`" if license_id else None),
    }
    return SpaceCard(f"---\n{metadata.to_yaml()}\n---\n\n{fill_template('space_card.md', values)}")
