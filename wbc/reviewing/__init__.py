"""`python -m wbc review`: a person answers where the model would not."""
