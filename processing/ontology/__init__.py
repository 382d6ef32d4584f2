"""Ontology terms: names, definitions, synonyms, ancestors, abbreviations, and the descriptions made from them.

It uses no other room; everybody may enter. Start with `terms.Ontology` and `descriptions`.
"""
