"""`python -m wbc export`: a model as one file that other runtimes read, from squares to logits."""
