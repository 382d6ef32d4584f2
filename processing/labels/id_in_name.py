"""Names with the id of their term in them, as curators and browsers print them: "T cell (CL:0000084)"."""

import re

_ID = r"(?:[A-Za-z]+[:_]\d{7}|[A-Za-z]+:\d{4,})(?!\w)"
_AT_THE_END = re.compile(rf"(?P<words>.*?\S)\s*[\[({{|,;:-]?\s*(?<![A-Za-z0-9])(?P<id>{_ID})\s*[\])}}]?")
_AT_THE_START = re.compile(rf"[\[({{]?\s*(?P<id>{_ID})\s*[\])}}]?\s*[|,;:({{\[-]*\s*(?P<words>\S.*)")


def name_and_id(name: str) -> tuple[str, str] | None:
    """Return the words of a name and the id that is in it; None where there is no id, or no words.

    >>> name_and_id("T cell (CL:0000084)"), name_and_id("CL_0000084 | T cell"), name_and_id("T cell")
    (('T cell', 'CL:0000084'), ('T cell', 'CL_0000084'), None)
    """
    for form in (_AT_THE_END, _AT_THE_START):
        if found := form.fullmatch(name.strip()):
            words = found["words"].strip(" ()[]{}|,;:-")
            return (words, found["id"]) if words else None
    return None
