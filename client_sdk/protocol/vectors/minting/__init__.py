"""Makes the vectors, one module per group of chapters; run through `mint.py`."""
