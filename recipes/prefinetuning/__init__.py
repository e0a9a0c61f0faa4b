"""Pre-finetuning and the few-shot study of Chen and Yu (2023)."""
