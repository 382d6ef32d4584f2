"""Options are declared once: what the command line, Python and the docs say follows from the fields."""

import inspect
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
import typer
from typer.testing import CliRunner

import langcell
from langcell.app.options import AppOptions
from langcell.cli.calibrate import CalibrationOptions
from langcell.cli.command_line import CommandLine
from langcell.cli.commands import app
from langcell.cli.data.genes import GeneChoice
from langcell.cli.data.tokenize import GeneOptions, WorkOptions
from langcell.cli.options import all_optional
from langcell.cli.retrieve import CandidateOptions, QueryOptions
from langcell.cli.sharing.publish import UploadOptions
from langcell.hub_cards.cards.options import CardOptions
from langcell.inference.classification import classify
from langcell.inference.naming.options import LabelOptions, NamingOptions
from langcell.inference.running.options import ReadingOptions
from langcell.inference.scoring.zero_shot import score_labels
from langcell.inference.search.options import SearchOptions
from langcell.loading.options import AdaptedModelOptions, ClassifierOptions, PlacedModel
from langcell.processing.options import ReadOptions, option
from langcell.processing.sources.options import CensusOptions
from langcell.processing.tokenization.options import TokenizeOptions
from langcell.scoring_langcell import RERANKINGS
from langcell.training.evaluation.options import COMMON, ExpectationOptions, OptionalLabelOptions, SuiteOptions
from langcell.training.evaluation.registry import TASKS
from langcell.training.fine_tuning.finetuning import finetune
from langcell.training.fine_tuning.options import TuningOptions

BEFORE: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("options_of_0_1_0.json").read_text())
# Defaults that the command line says now and the library had before.
SAID_NOW = {("finetune", "--gene-dropout"): 0.5, ("annotate", "-o --output"): None}
GROUPS = [
    *(AppOptions, CalibrationOptions, GeneChoice, UploadOptions, CandidateOptions, QueryOptions, GeneOptions),
    *(WorkOptions, CardOptions, LabelOptions, NamingOptions, ReadingOptions, SearchOptions, AdaptedModelOptions),
    *(ClassifierOptions, PlacedModel, ReadOptions, CensusOptions, TokenizeOptions, *COMMON, ExpectationOptions),
    *(OptionalLabelOptions, SuiteOptions, TuningOptions, *(task.option_group for task in TASKS.values())),
]
# Fields that are no options: what other groups and files fill in.
NO_OPTIONS = {("TokenizeOptions", "read"), ("CardOptions", "measurements")}


def commands_of(group: Any, name: str = "") -> dict[str, Any]:
    """Every command with its full name."""
    if not hasattr(group, "commands"):
        return {name: group}
    found = [commands_of(command, f"{name} {own}".strip()) for own, command in group.commands.items()]
    return {name: command for part in found for name, command in part.items()}


COMMANDS = commands_of(typer.main.get_command(app))


def options_of(command: Any) -> dict[str, Any]:
    """Names and defaults of a command's options, as the stored list has them."""

    def default(parameter: Any) -> Any:
        if parameter.required:
            return "required"
        plain = parameter.default is None or isinstance(parameter.default, bool | int | float)
        return parameter.default if plain else str(parameter.default)

    return {" ".join([*one.opts, *one.secondary_opts]): default(one) for one in command.params if one.name != "help"}


@pytest.mark.parametrize("name", list(BEFORE))
def test_every_command_keeps_its_options_and_defaults(name):
    now = options_of(COMMANDS[name])
    expected = {option: SAID_NOW.get((name, option), default) for option, default in BEFORE[name].items()}
    assert {option: now.get(option, "lost") for option in expected} == expected


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_every_option_has_a_help_in_whole_sentences(group):
    for one in fields(group):
        if (group.__name__, one.name) not in NO_OPTIONS:
            text = one.metadata["help"]
            assert text[0].isupper() or text.startswith("h5ad"), f"{one.name}: {text}"
            assert text.endswith((".", ").")), f"{one.name}: {text}"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_option_stands_in_the_help_of_its_command(name):
    said = CliRunner().invoke(app, [*name.split(), "--help"]).stdout
    assert not [option for option in options_of(COMMANDS[name]) if option[0] == "-" and option.split()[-1] not in said]


def test_options_stand_under_the_heading_of_their_group():
    said = CliRunner().invoke(app, ["annotate", "--help"]).stdout
    headings = ["Arguments:", "Options:", "Candidate labels:", "Model:", "Naming:", "Reading the cells:"]
    assert [said.index(f"\n{heading}\n") for heading in headings] == sorted(said.index(f"\n{h}\n") for h in headings)
    assert said.index("Naming:") < said.index("--smooth ") < said.index("Reading the cells:") < said.index("--layer")


def test_commands_stand_under_headings():
    said = CliRunner().invoke(app, ["--help"]).stdout
    assert said.index("Name and find cells:") < said.index("annotate") < said.index("Teach and measure a model:")


@pytest.mark.parametrize(
    ("function", "groups"),
    [
        pytest.param(langcell.annotate, (AdaptedModelOptions, NamingOptions, ReadingOptions), id="annotate"),
        pytest.param(langcell.embed, (AdaptedModelOptions, ReadingOptions), id="embed"),
        pytest.param(langcell.retrieve, (SearchOptions, ReadingOptions), id="retrieve"),
        pytest.param(classify, (ClassifierOptions, ReadingOptions), id="classify"),
        pytest.param(finetune, (TuningOptions, ReadOptions), id="finetune"),
    ],
)
def test_functions_take_and_describe_the_options_of_the_groups(function, groups):
    parameters = inspect.signature(function).parameters
    assert "{options}" not in function.__doc__
    for one in (one for group in groups for one in fields(group)):
        assert parameters[one.name].kind is inspect.Parameter.KEYWORD_ONLY
        assert f"        {one.name}: " in function.__doc__
        if one.name != "dtype":  # of classify, whose default in Python is float32
            assert parameters[one.name].default == one.default


def test_a_misspelt_keyword_names_the_nearest_one():
    with pytest.raises(TypeError, match=r"annotate\(\) has no option 'smoth'; did you mean 'smooth'\?"):
        langcell.annotate("cells.h5ad", ["a", "b"], smoth=1)


def test_the_way_of_re_ranking_is_that_of_the_scores():
    assert set(inspect.get_annotations(NamingOptions)["rerank"].__args__) == set(RERANKINGS)
    assert NamingOptions().k == inspect.signature(score_labels).parameters["k"].default


@dataclass(frozen=True)
class Colours:
    """A group for the tests below."""

    panel: ClassVar[str] = "Colours"

    shade: str = option("red", "Shade.")
    layers: tuple[int, ...] = option((), "Layer; may be repeated.", names=("--layer",), cli_type=list[int])
    hidden: int = option(3, "For Python alone.", in_cli=False)


@pytest.fixture
def painted():
    """A command line of two commands, and the calls of the first."""
    calls: list[Any] = []
    line = CommandLine("Paint.")

    def paint(colours: Colours) -> None:
        """Paint."""
        calls.append(colours)

    def fail(kind: Annotated[str, typer.Option()]) -> None:
        """Fail."""
        raise {"user": ValueError("kind is bad;\ngive another."), "program": KeyError("kind")}[kind]

    line.add(paint)
    line.add(fail)
    return line, calls


def test_a_command_gets_its_group_filled(painted):
    line, calls = painted
    assert CliRunner().invoke(line, ["paint", "--layer", "1", "--layer", "2"]).exit_code == 0
    assert CliRunner().invoke(line, ["paint", "--shade", "blue"]).exit_code == 0
    assert calls == [Colours("red", (1, 2)), Colours("blue")]


def test_an_option_for_python_alone_is_none_of_the_command_line(painted):
    assert CliRunner().invoke(painted[0], ["paint", "--hidden", "3"]).exit_code == 2


def test_an_error_of_the_user_is_one_line_and_a_fault_of_the_program_is_none(painted):
    result = CliRunner().invoke(painted[0], ["fail", "--kind", "user"])
    assert (result.exit_code, result.stderr) == (2, "langcell: kind is bad; give another.\n")
    assert isinstance(CliRunner().invoke(painted[0], ["fail", "--kind", "program"]).exception, KeyError)


def test_groups_of_all_tasks_are_one_group_without_defaults():
    every = all_optional("Every", *(task.option_group for task in TASKS.values()))
    assert every().repeats is None
    assert every().gene_sets is None
