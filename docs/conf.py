"""Settings of the documentation site: `make docs` builds it with Sphinx, and warnings are errors."""

import re
import tomllib
from pathlib import Path

from sphinx.application import Sphinx

project = "LangCell"
author = "The LangCell for Hugging Face developers"
release = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["version"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings name shapes and units, which say more
default_role = "code"
napoleon_use_rtype = False
nb_execution_mode = "off"  # outputs are in the notebooks; a test runs them
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"LangCell {release}"

# Markdown files of other floors are no pages of the site: the link to one offers the file.
_LINK_OUTSIDE = re.compile(r"\[([^\]]+)\]\((\.\./[^)#]+\.md)\)")


def _link_files(_app: Sphinx, _name: str, source: list[str]) -> None:
    source[0] = _LINK_OUTSIDE.sub(r"{download}`\1 <\2>`", source[0])


def setup(app: Sphinx) -> None:
    """Register what is done to each page before it is parsed."""
    app.connect("source-read", _link_files)
