"""`langcell export onnx` and `langcell export text-tower`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from langcell.cli.command_line import CommandLine

if TYPE_CHECKING:
    from langcell.onnx_export.export import OnnxExport


def export_onnx(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder, Hub id, or langcell-mini (bundled).")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.", show_default=False)],
    adapter: Annotated[
        str | None, typer.Option(help="Adapter for the model: folder or Hub id of what langcell finetune wrote.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Refused: such files are no longer written.")] = False,
    opset: Annotated[int, typer.Option(help="ONNX operator set, 18 to 21.")] = 20,
) -> None:
    """Write both encoders and the match as ONNX, compared with torch on random cells and texts.

    Name cells with the folder by langcell annotate --model FOLDER.
    """
    if int8:
        raise ValueError(
            "--int8 files are no longer written: a cell's answer depended on the cells beside it; "
            "leave it out, and use --dtype bfloat16 of the model itself for speed."
        )
    from langcell.onnx_export.export import export_onnx as export

    _print_export(export(model, output, adapter=adapter, opset=opset))
    print(f"Wrote {output}")


def export_text_tower(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder, Hub id, or langcell-mini (bundled).")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.", show_default=False)],
) -> None:
    """Write the text encoder as an ordinary BERT folder of sentence-transformers, compared with the model.

    Its vectors lie in the space of the cells. Text servers and vector databases read it without code of LangCell.
    """
    from langcell.conversion.text_tower import export_text_tower as export

    difference = export(model, output)
    print(f"Wrote {output}; its vectors differ from the model's by at most {difference:.1e}")


def _print_export(exported: "OnnxExport") -> None:
    """Files, and how far they are from torch."""
    for name, size in exported.files.items():
        print(f"{name}: {size / 1e6:.1f} MB")
    listed = ", ".join(f"{name} {value:.1e}" for name, value in exported.largest_difference.items())
    print(f"Largest difference from torch: {listed}")


def exporting() -> CommandLine:
    """Return the group `export`."""
    group = CommandLine("Write a model in a format of other runtimes.", keeps_name=True)
    group.add(export_onnx, "onnx")
    group.add(export_text_tower, "text-tower")
    return group
