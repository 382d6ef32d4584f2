"""Values that options may have, refused before torch is imported; imports no library.

The Hub file of the scores refuses the same with the same words. It works without langcell, so it cannot use these.
"""

from collections.abc import Collection

AUTO_UNKNOWN = "auto"
"""Value of `unknown` that calls cells so by their novelty, at the one documented operating point."""

_RERANKINGS = {
    "full": "the match of every label",
    "exact": "as many as it takes to be certain of the best label",
    "top-k": "that of the k most similar labels, an approximation",
    "none": "similarity only",
}


def check_alpha(alpha: float | None) -> None:
    """Refuse a weight of the similarity that is outside 0 to 1; None is the model's own.

    Raises:
        ValueError: it is outside.
    """
    if alpha is not None and not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; legal are 0 (match only) to 1 (similarity only).")


def check_rerank(rerank: str, k: int) -> None:
    """Refuse what is no way of re-ranking.

    Args:
        rerank: which matches are evaluated.
        k: with "top-k" the number of labels per cell.

    Raises:
        ValueError: another word, or k is below 1.
    """
    if rerank not in _RERANKINGS:
        known = ", ".join(f"{name!r} ({what})" for name, what in _RERANKINGS.items())
        raise ValueError(f"rerank is {rerank!r}; legal are {known}.")
    if rerank == "top-k" and k < 1:
        raise ValueError(f"k is {k}; give the number of labels whose match top-k evaluates, 1 or more.")


def check_between(name: str, value: float | None, *, ends: Collection[float] = (0, 1)) -> None:
    """Refuse a share outside 0 to 1; None is one that is not given.

    Args:
        name: name of the option.
        value: share.
        ends: which of 0 and 1 are legal themselves.

    Raises:
        ValueError: it is outside.

    >>> check_between("fit_share", 1, ends=())
    Traceback (most recent call last):
    ValueError: fit_share is 1; give a share between 0 and 1, such as 0.5.
    """
    if value is not None and not (0 < value < 1 or value in ends):
        raise ValueError(f"{name} is {value}; give a share between 0 and 1, such as 0.5.")


def number_of(text: object) -> float | None:
    """Return a number that is given as such or as text; None for anything else, such as the path of a file.

    >>> number_of("0.2"), number_of("calibration.json")
    (0.2, None)
    """
    try:
        return float(text)  # pyright: ignore[reportArgumentType]  # whether it is one is the question
    except (TypeError, ValueError):
        return None


def check_confidence(threshold: float) -> None:
    """Refuse a least confidence outside 0 to 1.

    Raises:
        ValueError: it is outside.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"unknown is {threshold}; give a confidence from 0 to 1, or the path of a calibration.")
