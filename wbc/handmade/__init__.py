"""Features of a cell as a morphologist would name them: shape, colour, texture; no network."""
