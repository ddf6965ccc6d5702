"""From a document to an answer: parsing, limits, cost and execution."""
