"""The runner, its engines and its targets."""
