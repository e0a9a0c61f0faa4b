"""What a saved model needs, and nothing else: these files travel with every checkpoint."""
