"""The rules: pure deciders, asked with events and a command, answering with events or a refusal."""
