"""The app as a Hugging Face Space: its page, card and requirements."""
