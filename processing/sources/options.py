"""Options that choose cells of a CELLxGENE Census; imports no library."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from langcell.processing.options import option

if TYPE_CHECKING:
    from langcell.processing.sources.open_source import SourceSpec


@dataclass(frozen=True)
class CensusOptions:
    """Cells of a Census as a source, beside files."""

    panel: ClassVar[str] = "CELLxGENE Census"

    census_uri: str | None = option(
        None, "Census to read: stable, latest, a date, or the URI of a Census or of a SOMA experiment."
    )
    organism: str = option("homo_sapiens", "Organism in the Census.")
    value_filter: str | None = option(
        None, "Condition on obs of the Census, such as \"tissue_general == 'blood'\"; all cells when not given."
    )
    joinids: str | None = option(None, "Range of soma_joinids of the Census, start:stop; all cells when not given.")

    def sources(self) -> "list[SourceSpec]":
        """Return the Census as a list of one source, or an empty list where none is named.

        Raises:
            ValueError: cells of a Census are chosen without one, or an option is malformed.
        """
        if self.census_uri is None:
            if self.value_filter is not None or self.joinids is not None:
                raise ValueError(
                    "--value-filter and --joinids choose cells of a Census; give --census-uri, or leave them out."
                )
            return []
        from langcell.processing.sources.census import CensusSelection, parse_joinids, resolve_census
        from langcell.processing.sources.open_source import census_source

        chosen = None if self.joinids is None else parse_joinids(self.joinids)
        selection = CensusSelection(resolve_census(self.census_uri), self.organism, self.value_filter, chosen)
        return [census_source(selection)]
