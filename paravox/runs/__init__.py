"""What every program shares: settings from YAML, the output folder, the model card, and the way out on an error."""
