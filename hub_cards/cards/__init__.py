"""Model, adapter, dataset and Space cards: templates, metadata, measurements.

It uses `langcell.loading` and `langcell.processing`; `publishing`, conversion, fine-tuning and evaluation enter.
"""
