"""After a restore, of the server or of this vault, and after long absence."""
