"""States of cells ("cycling", "interferon-stimulated"), learned from simulated cells in which their genes rise.

It uses `processing.simulation` and the model; the packaging of the bundled weights enters.
"""
