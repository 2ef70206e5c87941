"""Where the network comes in: aiohttp lives here and nowhere else."""
