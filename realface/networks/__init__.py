"""Generators and discriminators: nn.Module only."""
