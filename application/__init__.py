"""Use cases: the functions behind mutations, reports of the runner and other entry points."""
