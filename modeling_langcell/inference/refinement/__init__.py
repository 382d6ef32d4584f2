"""Names from the whole file: cells that lie together share what is known of them.

`components` places the cells, `mixture` names them, `novelty` says which fit no label, `confidence` makes
`known_cells` takes labels that some cells already have, and `clusters` names groups.
"""
