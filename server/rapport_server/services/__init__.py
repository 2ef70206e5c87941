"""What the server does, in terms of ports only. Services do not import each other."""
