"""What next: the frontier decides which request may be sent, and when."""
