"""The trainers, a command each: `python -m training.train_NAME`."""
