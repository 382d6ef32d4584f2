"""Settings of a run: dataclasses per section, YAML files, command-line overrides, legal ranges.

The lowest room of `training`: it uses no other room, and every room enters.
"""
