"""Cells drawn from mean expression profiles, with texts, as training shards of any size.

It uses `shards`, `cells`, `vocabulary`, `ontology` and `labels`; the recipe in `training` enters.
"""
