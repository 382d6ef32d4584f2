"""Labels of which one is above another: masses that add up the ontology, an answer as deep as the evidence, levels.

`label_tree` says which label lies below which, `tree_mixture` names the cells of a file from the top down,
`tree_answers` finds the deepest supported term, and `levels` writes the broad, medium and fine columns. `naming` and
`annotation` enter.
"""
