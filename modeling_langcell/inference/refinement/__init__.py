"""Names from the whole file: cells that lie together share what is known of them.

`components` places the cells of a `sampling`, `mixture` names them, `neighbours` and `separation` correct the names.
`novelty` says which cells fit no label, `confidence` makes probabilities, `known_cells` takes labels that some cells
already have, and `clusters` names groups. `placing` keeps where cells lie while a file is named, `file_refinement`
brings it together. `annotation` and the evaluation enter.
"""
