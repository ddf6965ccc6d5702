"""Use cases: what a mutation, a runner's report or another door does, as functions over the log."""
