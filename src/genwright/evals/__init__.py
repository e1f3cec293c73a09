"""Evaluations: a target run over a dataset, scored, compared, made safe, gated."""
