"""What is only reported, never optimised."""
