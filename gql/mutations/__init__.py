"""The mutations; a module for each noun."""
