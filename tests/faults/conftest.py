"""The finished small repository of tests/pipeline, and a copy of it to break."""

from tests.pipeline.conftest import finished, repository

__all__ = ["finished", "repository"]
