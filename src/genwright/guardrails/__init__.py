"""Guardrails: says allow, change or block about a text, and why. Calls no model."""
