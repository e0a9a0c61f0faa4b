"""Judging a model: constant baselines, bootstrap intervals, measures of bias, tables of scores and figures."""
