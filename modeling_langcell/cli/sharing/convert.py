"""`langcell convert` and `langcell verify`."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="RELEASED_DIR", help="Released checkpoint; with --to-released, a LangCell folder.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Folder to write.")],
    token_dictionary: Annotated[Path | None, typer.Option(help="Geneformer V1: Ensembl id to token id (.pkl).")] = None,
    gene_medians: Annotated[Path | None, typer.Option(help="Geneformer V1: Ensembl id to median (.pkl).")] = None,
    gene_names: Annotated[
        Path | None, typer.Option(help="Geneformer V1: gene name to Ensembl id (.pkl); lets symbols be used.")
    ] = None,
    text_tokenizer: Annotated[
        str | None,
        typer.Option(metavar="PATH_OR_ID", help="Folder or Hub id of the text encoder's tokenizer (PubMedBERT)."),
    ] = None,
    to_released: Annotated[bool, typer.Option("--to-released", help="The other way: write the five parts.")] = False,
) -> None:
    """Turn the released five-part checkpoint into a Hub folder, or back."""
    if to_released:
        if any(option is not None for option in (token_dictionary, gene_medians, gene_names, text_tokenizer)):
            raise ValueError("--to-released needs no dictionaries and no tokenizer; leave these options out.")
        from langcell.conversion.convert import write_released
        from langcell.loading.load import load

        write_released(load(source, device="cpu").model, output)
    else:
        if token_dictionary is None or gene_medians is None or text_tokenizer is None:
            raise ValueError("convert needs --token-dictionary, --gene-medians and --text-tokenizer.")
        from langcell.conversion.converted_folder import ConversionSources, convert_released

        sources = ConversionSources(
            released=source,
            token_dictionary=token_dictionary,
            gene_medians=gene_medians,
            gene_names=gene_names,
            text_tokenizer=text_tokenizer,
        )
        convert_released(sources, output)
        print(f"Verified; check it again at any time with: langcell verify {output}")
    print(f"Wrote {output}")


def verify(folder: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Folder that convert wrote.")]) -> None:
    """Check a converted folder: hashes, gene vocabulary, and the stored self-test in a fresh process."""
    from langcell.conversion.verify import verify as list_differences

    differences = list_differences(folder)
    for difference in differences:
        print(difference, file=sys.stderr)
    if differences:
        raise typer.Exit(2)
    print(f"{folder}: pass (hashes, gene vocabulary, self-test)")
