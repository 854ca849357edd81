"""What has changed from one run to the next: items told apart by a key, and judged by the pages they came from."""
