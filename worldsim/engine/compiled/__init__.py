"""Engines that libraries compile: every network of a dream as a graph of fixed shapes, exported once.

:mod:`.networks` says what the graphs are, :mod:`.export` makes them and names them for a cache on disk, one file a
library compiles them, :mod:`.backend` steps a dream with what comes out. docs/engines.md has the table.
"""
