"""What people call cells: split, parse and resolve label names to Cell Ontology terms and texts.

It uses `ontology` and `files`; everybody may enter. Start with `resolve_labels`.
"""
