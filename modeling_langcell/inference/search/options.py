"""Options of searching saved cell embeddings; imports no library."""

from dataclasses import dataclass
from typing import ClassVar

from langcell.inference.scoring.legal_values import check_alpha
from langcell.processing.options import option

PAPER_ALPHA = 0.1  # weight of the similarity in the paper's results (Zhao et al. 2024)


@dataclass(frozen=True)
class SearchOptions:
    """How many hits a search returns, and how they are ordered; see `retrieve`."""

    panel: ClassVar[str] = "Search"

    top_k: int = option(10, "Number of hits per query.", names=("--top-k",))
    rerank: int = option(0, "Number of candidates per query that are re-ranked by their match; 0 for none.")
    alpha: float | None = option(
        None,
        "Weight of the similarity in the score of re-ranking, 0 to 1; when not given the model's own, or 0.1 where "
        "that is 1: whoever re-ranks wants the match to count.",
    )

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise ValueError(f"top_k is {self.top_k}; give the number of hits wanted, 1 or more.")
        if self.rerank < 0:
            raise ValueError(f"rerank is {self.rerank}; give the number of candidates to re-rank, 0 for none.")
        check_alpha(self.alpha)

    def alpha_of(self, own: float) -> float:
        """Return the weight of the similarity, where the model's own is `own`.

        >>> SearchOptions().alpha_of(1.0), SearchOptions().alpha_of(0.5), SearchOptions(alpha=1.0).alpha_of(0.5)
        (0.1, 0.5, 1.0)
        """
        if self.alpha is not None:
            return self.alpha
        return own if own < 1 else PAPER_ALPHA
