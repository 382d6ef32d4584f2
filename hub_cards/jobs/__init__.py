"""Scripts for `hf jobs uv run`: each names its own dependencies (PEP 723) and runs on a machine of the Hub.

They use the library as its users do. Nobody imports them.
"""
