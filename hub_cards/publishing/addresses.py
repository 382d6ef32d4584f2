"""A card written for a folder, made to speak of the repository that it goes to."""

import re

_OWN_NAME = {
    "model": re.compile(r'(?:AutoProcessor|AutoModel\w*)\.from_pretrained\("([^"]+)"'),
    "adapter": re.compile(r'PeftModel\.from_pretrained\(base, "([^"]+)"'),
    "dataset": re.compile(r'load_dataset\("([^"]+)"'),
}
_CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_VERIFY, _VERIFY_DOWNLOAD = "langcell verify {}", "hf download {} --local-dir download\nlangcell verify download"


def address_card(content: str, kind: str, repo_id: str) -> str:
    """Return the card with the commands of its code blocks naming `repo_id` where they named the folder.

    Cards are written before anybody knows where they go: `from_pretrained("my-adapter")` works for nobody else.

    Args:
        content: the card.
        kind: "model", "adapter", "dataset" or "space".
        repo_id: where it goes.

    >>> card = "# A" + chr(10) + "```python" + chr(10) + 'AutoModel.from_pretrained("runs/a")' + chr(10) + "```"
    >>> print(address_card(card, "model", "org/a").splitlines()[2])
    AutoModel.from_pretrained("org/a")
    """
    match = _OWN_NAME[kind].search(content) if kind in _OWN_NAME else None
    if match is None or match[1] == repo_id:
        return content
    old = match[1]
    name = re.compile(rf"(?<![\w./-]){re.escape(old)}(?![\w./-])")

    def readdress(block: re.Match[str]) -> str:
        # This command reads a folder alone.
        text = block[0].replace(_VERIFY.format(old), _VERIFY_DOWNLOAD.format(repo_id))
        return name.sub(repo_id, text)

    return _CODE.sub(readdress, content)
