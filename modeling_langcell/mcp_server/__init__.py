"""The Model Context Protocol: what an agent may do with the files of one folder.

`local_files` keeps an agent inside the folder, `tools` are the plain functions, `server` hands them out over stdio.
It may import every room but the command line; only the command line imports it. The package `mcp` is an extra.
"""
