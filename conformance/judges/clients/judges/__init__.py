"""Clients and servers that other people wrote, and what they find through Ondol."""
