"""Typeset signs as plain ones: the minus signs, superscripts and markup that names come with from papers."""

import re
import unicodedata

_MINUS = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2796\ufe58\ufe63\uff0d\u207b\u208b"), "-")
_PLUS = dict.fromkeys(map(ord, "\u2795\ufb29\uff0b\ufe62\u207a\u208a"), "+")
_SIGNS = {**_MINUS, **_PLUS}
# <sup>+</sup>, ^{+}, $^+$ and (+), as in HTML, in TeX and in PubMed.
_TAG = re.compile(r"</?su[bp]>", re.IGNORECASE)
_TEX = re.compile(r"\$?\^\{?([^{}$\s]{1,8})\}?\$?")
_IN_BRACKETS = re.compile(r"(?<=\w)\(([+-]{1,2}|hi|high|lo|low|dim|bright|int)\)", re.IGNORECASE)


def plain_signs(text: str) -> str:
    """Return the text with "+" and "-" for every typeset plus and minus, and without superscripts and their markup.

    >>> [plain_signs(name) for name in ("CD14⁻CD16⁺", "CD4− T", "CD56ᵇʳⁱᵍʰᵗ NK", "CD4<sup>+</sup>", "CD8(-) T")]
    ['CD14-CD16+', 'CD4- T', 'CD56bright NK', 'CD4+', 'CD8- T']
    """
    if text.isascii() and not ("^" in text or "<" in text or "(" in text):
        return text
    text = unicodedata.normalize("NFKC", text.translate(_SIGNS)).translate(_SIGNS)
    return _IN_BRACKETS.sub(r"\1", _TEX.sub(r"\1", _TAG.sub("", text)))
