"""The garbage collector while a command starts, in a process of its own: its settings are those of a process."""

import subprocess
import sys

SCRIPT = """
import gc
from langcell.cli.garbage import defer_garbage_collection, skip_last_collection

class Node:
    pass

collections = []
gc.callbacks.append(lambda phase, info: collections.append(phase))
usual = gc.get_threshold()
defer_garbage_collection()
defer_garbage_collection()  # as of a command in a command: once is enough
kept = [[] for _ in range(800_000)]
assert not collections, "imports make so many objects"
more = [[] for _ in range(300_000)]
assert collections and gc.get_threshold() == usual, "Python's own thresholds hold from here on"
assert gc.get_freeze_count() > 1_000_000
node = Node()
node.itself = node
del node
found = gc.collect()
assert found > 0, "garbage of a long run is found"
skip_last_collection()
assert not gc.get_objects(generation=2)
print("done")
"""


def test_garbage_is_looked_for_after_the_start_and_not_at_the_end():
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert (ran.stdout.strip(), ran.stderr) == ("done", "")
