"""Refuse a tag that does not fit the package's version or the CHANGELOG: python .github/check_tag.py v0.2.0."""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_DATED = re.compile(r"(?P<version>\S+) \(\d{4}-\d{2}-\d{2}\)")


def faults_of(tag: str, *, version: str, changelog: str) -> list[str]:
    """Return what keeps a tag from being a release, a line each; empty if nothing does.

    Args:
        tag: Name of the tag, such as v0.2.0.
        version: Version of the package in pyproject.toml.
        changelog: Text of CHANGELOG.md: "## Unreleased", and one "## VERSION (YYYY-MM-DD)" per release.

    >>> faults_of("v0.2.0", version="0.2.0", changelog="## 0.2.0 (2026-12-24)\\n\\n- New.\\n")
    []
    """
    number, sections = tag.removeprefix("v"), _sections(changelog)
    dated = {found["version"]: body for title, body in sections.items() if (found := _DATED.fullmatch(title))}
    faults = []
    if tag != f"v{version}":
        faults.append(f"The tag is {tag} and the version in pyproject.toml {version}; tag v{version}, or change it.")
    if not _entries(dated.get(number, "")):
        faults.append(f"CHANGELOG.md has no section '## {number} (YYYY-MM-DD)' with entries; write it.")
    if waiting := _entries(sections.get("Unreleased", "")):
        faults.append(f"'## Unreleased' in CHANGELOG.md has {len(waiting)} lines; give them number and date.")
    return faults


def _sections(changelog: str) -> dict[str, str]:
    """Return the text below each title of the second level."""
    _, *parts = re.split(r"^## ", changelog, flags=re.MULTILINE)
    return {title.strip(): body for title, _, body in (part.partition("\n") for part in parts)}


def _entries(body: str) -> list[str]:
    """Return the lines of a section that are neither blank nor titles."""
    return [line for line in body.splitlines() if line.strip() and not line.startswith("#")]


def main() -> None:
    """Check the tag of the command line against the files of this checkout; exit code 1 if it does not fit."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    faults = faults_of(sys.argv[1], version=version, changelog=(ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
