"""Read models: views of the log, stored in the shapes that queries need."""
