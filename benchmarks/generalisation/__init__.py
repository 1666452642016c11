"""Variants of the recipe, judged in laboratories that they were not trained on."""
