"""Prompts: versions, rendering, differences. Calls no model."""
