"""Checking a folder that `langcell convert` wrote: is it whole, unchanged, and does it still compute the same?"""

import json
from pathlib import Path
from typing import Any

from langcell.conversion import self_test
from langcell.fresh_process import FreshProcessError, ask_fresh_process
from langcell.loading.weight_files import read_config, sha256_of
from langcell.processing.genes import VOCABULARY_FILE, GeneVocabulary

MANIFEST_FILE = "conversion.json"
# The card is prose that its owner may edit; the manifest cannot hold its own hash.
_NOT_HASHED = (MANIFEST_FILE, "README.md", ".gitattributes")


def write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    """Write conversion.json: `facts`, and the sha256 of every file that is in the folder now."""
    files = {p.name: sha256_of(p) for p in sorted(folder.iterdir()) if p.is_file() and p.name not in _NOT_HASHED}
    content = json.dumps({**facts, "files": files}, indent=2, ensure_ascii=False)
    (folder / MANIFEST_FILE).write_text(content + "\n", encoding="utf-8")


def verify(folder: str | Path) -> list[str]:
    """List what differs from the moment of conversion; an empty list means that the folder is fine.

    Hashes come first, then the fingerprints, and only where these agree the self-test: it runs the folder's code, in a
    fresh process without network that knows nothing of this package.

    Raises:
        ValueError: the folder has no readable conversion.json.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    return _changed_files(folder, manifest) or _wrong_fingerprints(folder, manifest) or _self_test(folder)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the content of conversion.json.

    Raises:
        ValueError: it is missing or damaged.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise ValueError(f"{folder} has no {MANIFEST_FILE}; only what `langcell convert` wrote can be verified.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(sha256, str) for sha256 in manifest["files"].values()):
            raise ValueError("files must map names to sha256")
        manifest["vocabulary"]["fingerprint"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}); download the folder again.") from error
    return manifest


def _self_test(folder: Path) -> list[str]:
    try:
        return ask_fresh_process(self_test.__file__, str(folder.resolve()))
    except FreshProcessError as error:
        return [f"self-test: the folder does not load or run ({error})"]


def _changed_files(folder: Path, manifest: dict[str, Any]) -> list[str]:
    differences = []
    for name, sha256 in manifest["files"].items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            differences.append(f"{name}: missing")
        elif (found := sha256_of(path)) != sha256:
            differences.append(f"{name}: sha256 is {found[:12]}..., was {sha256[:12]}... at conversion")
    needed = {"config.json", "model.safetensors", VOCABULARY_FILE, self_test.SELF_TEST_FILE}
    differences += [f"{name}: not listed in {MANIFEST_FILE}" for name in sorted(needed - manifest["files"].keys())]
    # Code that nobody listed could take the place of the code that was listed.
    code = {path.name for path in folder.glob("*.py")} - manifest["files"].keys()
    return differences + [f"{name}: not there at conversion" for name in sorted(code)]


def _wrong_fingerprints(folder: Path, manifest: dict[str, Any]) -> list[str]:
    expected = manifest["vocabulary"]["fingerprint"]
    found = {
        "config.json": read_config(folder).get("vocabulary_fingerprint"),
        VOCABULARY_FILE: GeneVocabulary.load(folder / VOCABULARY_FILE).fingerprint,
    }
    return [
        f"{name}: vocabulary fingerprint is {str(fingerprint)[:12]}..., {MANIFEST_FILE} says {str(expected)[:12]}..."
        for name, fingerprint in found.items()
        if fingerprint != expected
    ]
