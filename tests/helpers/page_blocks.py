"""Code blocks and commands of a Markdown page."""

import re
import shlex

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# How pages start the langcell command; the script of fine-tuning is the command of the same name.
STARTS = (["langcell"], ["accelerate", "launch", "-m", "langcell.cli"])
SCRIPTS = {"training/finetune.py": "finetune"}


def blocks(language: str, text: str) -> list[str]:
    """Code of the blocks of one language."""
    return [code for found, code in BLOCK.findall(text) if found == language]


def command_lines(text: str) -> list[list[str]]:
    """Words of each command in the bash blocks of a page."""
    lines = "\n".join(blocks("bash", text)).replace("\\\n", " ").splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def langcell_arguments(words: list[str]) -> list[str] | None:
    """What follows `langcell` in a command; None for another program."""
    if words[:2] == ["accelerate", "launch"] and words[2] in SCRIPTS:
        return [SCRIPTS[words[2]], *words[3:]]
    return next((words[len(start) :] for start in STARTS if words[: len(start)] == start), None)
