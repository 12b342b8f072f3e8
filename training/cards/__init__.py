"""What is said of a checkpoint or of data: the card beside what ships, and the one to publish with."""
