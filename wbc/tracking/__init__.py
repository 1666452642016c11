"""MLflow: one run a model, its registry's database, and what keeps both in order.

Only this package, wbc/registry and wbc/serving.py know MLflow.
"""
