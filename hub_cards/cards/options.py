"""Options of a card: what no file of the folder knows; imports no library."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from langcell.processing.options import option

if TYPE_CHECKING:
    from langcell.hub_cards.cards.measurements import Measurement


@dataclass(frozen=True)
class CardTexts:
    """What the card of any folder may say."""

    panel: ClassVar[str] = "Card"

    title: str | None = option(None, "Heading of the card; the name in the id when not given.", show_default=False)
    summary: str | None = option(None, "Description of the folder in a sentence or two.", show_default=False)
    license_id: str | None = option(
        None,
        "The Hub's identifier of the licence, such as apache-2.0.",
        names=("--license",),
        show_default=False,
    )
    licence: str | None = option(
        None, "The licences of weights and data in words.", names=("--licence-note",), show_default=False
    )


@dataclass(frozen=True)
class CardOptions(CardTexts):
    """What a card says that no file of the folder knows; None and empty are left out.

    Attributes:
        measurements: evaluations of the very weights in the folder.
    """

    data: str | None = option(
        None,
        "Training data (of a Space: sample data) in Markdown; what the files say when not given.",
        show_default=False,
    )
    base_model: Sequence[str] = option(
        (),
        "Hub id of the weights that training started from; may be repeated.",
        cli_type=list[str],
        show_default=False,
    )
    datasets: Sequence[str] = option(
        (),
        "Hub id of a data set of the training; may be repeated.",
        names=("--dataset",),
        cli_type=list[str],
        show_default=False,
    )
    models: Sequence[str] = option(
        (),
        "Hub id of a model that a Space uses; may be repeated.",
        names=("--model",),
        cli_type=list[str],
        show_default=False,
    )
    limits: Sequence[str] = option(
        (),
        "A limit beside the usual ones, in one sentence; may be repeated.",
        names=("--limit",),
        cli_type=list[str],
        show_default=False,
    )
    benchmark: str | None = option(
        None,
        "Hub id of the benchmark data set that the results belong to; they are then written into .eval_results, too.",
        show_default=False,
    )
    measurements: "Sequence[Measurement]" = field(default=())
