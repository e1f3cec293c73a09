"""Parsers: one file a family of formats. Each is a function `(data: bytes, name: str) -> Parsed`; raises Unreadable."""
