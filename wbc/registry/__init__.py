"""The model registry: versions, aliases, promotion and the way back."""
