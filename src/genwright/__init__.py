"""Genwright: one self-hosted system for the whole life of a generative-AI application."""

from typing import Any

__version__ = "0.1.0"

_PUBLIC = {"Client": "client", "AsyncClient": "client", "Error": "errors"}
__all__ = ["AsyncClient", "Client", "Error", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'genwright' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(f"genwright.{_PUBLIC[name]}"), name)
