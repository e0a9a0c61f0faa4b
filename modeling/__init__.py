"""What a saved model needs, and nothing else: these files travel with every checkpoint."""

# Importing Transformers makes paravox register its classes there, for which it imports the modules of this package.
# That has to happen before one of them is half imported itself.
import transformers  # noqa: F401
