"""The paper's tables on our own worlds: ``python -m training.evaluate table=1|2|3|4 env=blocks|labmaze``."""
