"""Tests of the read models: the nouns, the engine, and the stores on both databases."""
