"""Tables and pictures, each report a file of this package: ``python -m training.report NAME [key=value ...]``."""
