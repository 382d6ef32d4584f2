"""The measured part of a card that is there already: replaced by new evaluations, while all else stays."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from langcell.hub_cards.cards.benchmark_results import write_benchmark_results
from langcell.hub_cards.cards.cards import fill_template
from langcell.hub_cards.cards.measurements import Measurement, all_results, index_entries, measurement_table

# A card has this heading once; its section ends before the next of the same depth.
_RESULTS = re.compile(r"^## Results\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def renew_results(folder: Path, measurements: Sequence[Measurement], *, benchmark: str | None = None) -> None:
    """Write new results into the card of a folder: its model-index and its section "Results".

    Args:
        folder: folder of a model, with its card in README.md.
        measurements: evaluations of its weights.
        benchmark: Hub id of the benchmark data set that the results are written for, too.

    Raises:
        ValueError: nothing was measured, or the card has no section "Results".
        FileNotFoundError: the folder has no card.
    """
    if not measurements:
        raise ValueError("There is no evaluation; give what langcell evaluate wrote.")
    path, results = folder / "README.md", all_results(measurements)
    card = ModelCard.load(path)
    values = {"measured": measurement_table(results), "measurements": measurements}
    section = fill_template("results.md", values).strip() + "\n\n"
    text, found = _RESULTS.subn(lambda _: section, card.text)
    if found != 1:
        raise ValueError(f'{path} has {found} sections "## Results"; a card of langcell has one.')
    heading = re.search(r"^# (.+)$", text, re.MULTILINE)
    data: Any = card.data  # typed as the data of any card
    data.model_name = data.model_name or (heading[1] if heading else folder.name)
    data.eval_results = index_entries(results)
    card.text = text
    card.save(path)
    if benchmark is not None:
        write_benchmark_results(folder, results, benchmark)
