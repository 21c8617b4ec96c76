"""What training optimises, one a file."""
