"""`python -m wbc differential`: slides in, a differential of each with its pages out."""
