"""The programs that are compared: each crawls the same site in a process of its own, on one core."""
