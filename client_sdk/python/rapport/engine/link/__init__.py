"""The shell: the task that talks to the vault, and the one connection to the server."""
