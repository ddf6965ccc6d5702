"""Read models: what the log says, kept ready in the shapes that are asked for."""
