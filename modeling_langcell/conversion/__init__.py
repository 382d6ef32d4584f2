"""From a released LangCell checkpoint to a Hub folder: the name table, its inverse, assembly and verification.

It uses the model, `loading` and the cards; the command line and the start model of `training` enter.
"""
