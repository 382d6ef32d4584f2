"""Messages of the command line in the words of the page: its controls in place of options."""

import re

# Controls of the page, as the layout names them.
VALUES, LAYER, GENES = "Values in the file", "Layer with the values", "Column with the gene names"
CLUSTERS, MAKE = "Column with clusters", "Make clusters where the file has none"
UNKNOWN, LEAST = "Cells that fit no type", "Least confidence"
LABELS = "Cell types to choose from"
MORE = "under More options"
RAW, LINEAR, LOGGED = "raw counts", "normalised, without a logarithm", "log-transformed (log1p)"

_IN_PAGE_WORDS = {
    r"--x-is counts, linear, log1p or log2p": f"“{VALUES}” {MORE}",
    r"--x-is log1p \(log2p to base 2\) or --x-is linear \(([^)]*)\)": (
        f"“{LOGGED}” or “{LINEAR}” (\\1) as “{VALUES}” {MORE}"
    ),
    r"--x-is log1p(?: \(log2p to base 2\))?": f"“{LOGGED}” as “{VALUES}” {MORE}",
    r"--x-is linear": f"“{LINEAR}” as “{VALUES}” {MORE}",
    r"--x-is \(x_is\)": f"“{VALUES}” {MORE}",
    r"--x-is": f"“{VALUES}” {MORE}",
    r"--layer (\S+)": f"\\1 as “{LAYER}” {MORE}",
    r"--gene-column": f"“{GENES}” {MORE}",
    r"--cluster makes clusters": f"“{MAKE}” {MORE} makes clusters",
    r"--cluster-column": f"“{CLUSTERS}” {MORE}",
    r"by exactly one of --labels, --labels-file and --ontology-root": f"in “{LABELS}”",
    r" \(--accept-suggestions takes the first of each\)": "",
    r" \(--labels-file\)": " (label, tab, text)",
    r"--labels(?:-file)?\b": f"“{LABELS}”",
    r"--ontology-root": "a family of cell types",
    r"--tissue \(tissue=\)": "“Tissue”",
    r"--unknown": f"“{UNKNOWN}” {MORE}",
    r"--species mouse \(species='mouse'\), or map them to human orthologs first": "map them to human orthologs first",
    r" \(--species human or mouse\)| \(species='mouse'\)": "",
    # What no line above has in a sentence of its own.
    r"--layer": f"“{LAYER}” {MORE}",
    r"--accept-suggestions": "the checked names",
    r"--species": "the species",
    r"unknown is (\S+); give a confidence from 0 to 1, or the path of a calibration": f"“{LEAST}” is \\1; give 0 to 1",
}


def in_page_words(line: str) -> str:
    """Return a line of the command line, with the page's controls in place of options.

    >>> in_page_words("x.h5ad: X has negative values; say what they are (--x-is)")
    'x.h5ad: X has negative values; say what they are (“Values in the file” under More options)'
    """
    for pattern, words in _IN_PAGE_WORDS.items():
        line = re.sub(pattern, words, line)
    return line


def least_confidence(text: str) -> float | None:
    """Return the number in a box that may be empty.

    Raises:
        ValueError: it is no number from 0 to 1.

    >>> least_confidence(" "), least_confidence("0,5")
    (None, 0.5)
    """
    if not text.strip():
        return None
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError(f"“{LEAST}” is {text.strip()!r}; give a number from 0 to 1, or leave it empty.")
    return value


def with_names(labels: str, names: dict[str, str]) -> str:
    """Return what somebody typed, with some of the labels called otherwise; a name with commas is put into quotes.

    >>> with_names("ductal, alpha", {"ductal": "pancreatic ductal cell"})
    'pancreatic ductal cell, alpha'
    """
    for label, name in names.items():
        quoted = f'"{name}"' if "," in name else name
        pattern = rf'(^|[,\n])([ \t]*)"?{re.escape(label)}"?(?=[ \t]*(?:[,\n]|$))'
        labels = re.sub(pattern, lambda found, new=quoted: f"{found[1]}{found[2]}{new}", labels)
    return labels
