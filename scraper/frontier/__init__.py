"""What next: which URLs are known, which may be asked for, and when."""
