"""Names that the text is so sure of that the file may not take them away.

A mixture gives a label's territory to other cells where these are many and their own label is no candidate. The label
then loses the support of the text, vanishes, and its few true cells lose their name: with B cells left out of the
candidates of PBMC 3k, the platelets get lost. The similarity of such a cell with its label leaves no doubt, so it keeps
the name that it has alone if

    s[i, alone] - s[i, new] > 10

In 154 forms of six real sets the name alone is nearly always right where the difference is above 12, and the new one
never; both are about as often right at differences of 8, and the new one more often below (training/EXPERIMENTS.md).
"""

import numpy as np
from scipy.special import expit

# Difference of similarities (cos / temperature) beyond which the text alone decides.
KEPT_ABOVE = 10.0


def with_kept_names(similarity: np.ndarray, posterior: np.ndarray) -> np.ndarray:
    """Return posteriors in which no cell loses a name that the text is sure of, float64, shape (cells, labels).

    The probability of both names is shared out as the text says. No cell depends on another.

    Args:
        similarity: cos / temperature, shape (cells, labels); NaN for a cell without a known gene.
        posterior: posterior of the file for these cells, shape (cells, labels); zeros for such a cell.
    """
    found = posterior.astype(np.float64)
    heard = np.flatnonzero(np.isfinite(similarity).all(axis=1) & posterior.any(axis=1))
    values = similarity[heard].astype(np.float64)
    alone, together, cells = values.argmax(axis=1), posterior[heard].argmax(axis=1), np.arange(len(heard))
    lead = values[cells, alone] - values[cells, together]
    kept = lead > KEPT_ABOVE
    rows, alone, together, share = heard[kept], alone[kept], together[kept], expit(lead[kept])
    both = found[rows, alone] + found[rows, together]
    found[rows, alone], found[rows, together] = both * share, both * (1 - share)
    return found
