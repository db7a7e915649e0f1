"""What `scripts/bench peers` is made of: contestants, their programs, weights and the report."""
