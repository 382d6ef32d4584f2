"""What an evaluation is made of: the cells, the model, their fingerprints, and what tasks share.

It uses `langcell.training.labelled`; `tasks`, `runner` and `suite` enter.
"""
