"""What crawlers lose and repeat when they are killed and started again: `python -m benchmarks.kills`."""
