"""What langcell runs in: versions of its parts, what is missing, and how to get it. The command line alone enters."""
