"""Files that are whole or not there: atomic outputs, and locks that keep two runs apart.

The lowest room: it uses no other room, and everybody may enter.
"""
