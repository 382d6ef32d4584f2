"""LangCell: language-cell models that name single cells by text."""
