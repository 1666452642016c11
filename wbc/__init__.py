"""Classify microscope images of white blood cells: the library that the DVC stages are made of."""
