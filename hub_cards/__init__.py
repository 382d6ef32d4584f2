"""Model cards, publishing, and the bundled model."""
