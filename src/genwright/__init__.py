"""Genwright: one self-hosted system for the whole life of a generative-AI application."""

__version__ = "0.1.0"
