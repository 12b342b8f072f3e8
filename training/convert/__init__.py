"""Episodes from the data sets that people have, and back: one module a format, ``__main__`` walks the files."""
