"""Readers that turn one system's export into conversations, row by row."""
