"""Labels that are there already, looked at again: `langcell audit`.

Words (`words`), what text, reference cells and the file call each group (`votes`), genes (`evidence`), and what follows
from them (`findings`). The command line enters.
"""
