"""`python -m wbc predict`: pictures of any number in, a table with a row for each out."""
