"""What is measured, a task a file: each takes a dream and one true walk and gives lists of numbers."""
