#!/usr/bin/env python3
"""Becomes a real server: `serve.py backend NAME` or `serve.py front NAME`. Ondol starts it so."""

import sys

from judge.servers import become

if __name__ == "__main__":
    become(*sys.argv[1:])
