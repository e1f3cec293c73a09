"""Routers fitted to answers: which of several models is good enough for a prompt, and what that saves."""
