"""The bench of world models: named suites, measures of memory, comparison and gate."""
