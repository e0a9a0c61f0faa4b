"""Readers that turn corpora as their owners distribute them into `datasets.DatasetDict`."""
