"""The parts of the contract that every type and mutation shares."""
