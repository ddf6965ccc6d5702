"""Read models: the folds by themselves, the store of their rows, and the projector over both logs."""
