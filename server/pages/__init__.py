"""Handlers: read the request, call the noun, render."""
