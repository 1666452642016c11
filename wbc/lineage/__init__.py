"""Where a run comes from: the only package that asks git and DVC."""
