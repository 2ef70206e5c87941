"""The contract: what may be said between a Rapport client and server, and in which order."""
