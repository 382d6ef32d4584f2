"""The packages of langcell and of its extras, as its own metadata name them; imports none of them."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement

_OF_THE_PROJECT = ("all", "dev", "docs")  # extras of several others, or for whoever works on langcell itself
_NAMED_FIRST = ("torch", "transformers", "huggingface_hub", "anndata", "datasets", "peft")


@dataclass(frozen=True)
class Part:
    """A package that is needed.

    Attributes:
        name: name of the package.
        needed: versions that will do, such as ">=5.5,<6"; "" for any.
        found: the version that is installed, or None.
        fits: whether the installed version will do.
        extra: what needs it; "" for langcell itself.
    """

    name: str
    needed: str
    found: str | None
    fits: bool
    extra: str = ""


def parts_of(extra: str = "") -> list[Part]:
    """Return the packages of langcell itself, or those that an extra adds."""
    return [_part(requirement, extra) for requirement in _requirements(extra)]


def extras() -> list[str]:
    """Return names of the extras for users, in the order in which the metadata name them."""
    return [name for name in metadata("langcell").get_all("Provides-Extra") or [] if name not in _OF_THE_PROJECT]


def version_lines() -> list[str]:
    """Return the versions of langcell, of Python and of the parts that decide what is computed.

    >>> version_lines()[0].partition(" ")[0]
    'langcell'
    """
    found = [f"{name} {_installed(name) or 'is not installed'}" for name in ("langcell", *_NAMED_FIRST)]
    return [found[0], f"python {sys.version.split()[0]}", *found[1:]]


def _requirements(extra: str) -> Iterator[Requirement]:
    for line in requires("langcell") or []:
        requirement = Requirement(line)
        always = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        with_extra = requirement.marker is not None and requirement.marker.evaluate({"extra": extra})
        if always if not extra else with_extra and not always:
            yield requirement


def _part(requirement: Requirement, extra: str) -> Part:
    found = _installed(requirement.name)
    fits = found is not None and requirement.specifier.contains(found, prereleases=True)
    needed = ",".join(sorted((str(each) for each in requirement.specifier), reverse=True))
    return Part(requirement.name, needed, found, fits, extra)


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
