"""The cache: answers given before, found again exactly or by meaning, inside a hard scope."""
