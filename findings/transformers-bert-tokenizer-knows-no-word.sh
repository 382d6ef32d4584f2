#!/usr/bin/env bash
# A BertTokenizer made from a vocabulary file knows no word of it.
#
# One would guess: BertTokenizer(vocab_file="vocab.txt"), the signature of transformers 4, reads the file or refuses the
#   argument.
# What happens: transformers 5 calls the argument `vocab` and swallows `vocab_file`. The tokenizer has its five special
#   tokens; every word of every text becomes [UNK]. No warning.
# Seen with: transformers 5.23.0, tokenizers 0.23.3.
# Why a user would care: checkpoints of text and cell models kept as weights and a vocab.txt are put together by
#   such a call. Every cell type then has the same embedding up to its number of words. from_pretrained of the folder
#   works, and so does vocab=.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile transformers==5.23.0 tokenizers==0.23.3 numpy==2.4.6
HF_HOME="$room/hf" HF_HUB_OFFLINE=1 venv/bin/python - <<'PY' 2>log.txt
import sys
from pathlib import Path

import transformers
from transformers import BertTokenizer

Path("words").mkdir()
Path("words/vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cell", "b", "t"]))
ways = {
    "vocab_file=": BertTokenizer(vocab_file="words/vocab.txt"),
    "vocab=": BertTokenizer(vocab="words/vocab.txt"),
    "from_pretrained": BertTokenizer.from_pretrained("words"),
}
print(f"transformers {transformers.__version__}; a vocab.txt with 8 entries")
found = {}
for way, tokenizer in ways.items():
    found[way] = (len(tokenizer), tokenizer.tokenize("b cell"))
    print(f"{way}: {len(tokenizer)} entries, 'b cell' is {tokenizer.tokenize('b cell')}")
right = (8, ["b", "cell"])
if list(found.values()) != [(5, ["[UNK]", "[UNK]"]), right, right]:
    sys.exit("the behaviour changed")
PY
