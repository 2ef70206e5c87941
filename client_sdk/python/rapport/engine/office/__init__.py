"""Office hours, the promise of an answer, and what comes of it."""
