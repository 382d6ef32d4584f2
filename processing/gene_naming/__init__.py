"""Which genes of a vocabulary the names of a data set stand for: prefixes, species, orthologs, known shares.

It knows names and vocabularies, no files of cells; the rooms above it ask it. Start with `found_genes.find_genes`.
"""
