"""`python -m rapport_server`: the server's commands without the SDK's."""

from rapport_server.cli import commands

if __name__ == "__main__":
    commands(prog_name="rapport")
