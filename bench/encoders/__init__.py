"""What bench.encoding compares: a program for each contender, run by the Python of the contender's own environment."""
