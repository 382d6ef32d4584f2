"""What an evaluation shows: Markdown, HTML, tables and plots.

It uses `metrics`; `tasks`, `runner` and `suite` enter.
"""
