"""Request and response: one binding from the table of operations to the services."""
