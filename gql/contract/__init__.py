"""The parts of the contract that all types, mutations and subscriptions share."""
