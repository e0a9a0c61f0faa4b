"""The few-shot study: its grid, draws, trials, encoding, executors, results file, statistics and figures."""
