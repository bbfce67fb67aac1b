"""The vocabulary: frozen values without input or output."""
