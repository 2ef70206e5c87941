"""`rapport demo`: a server with a demo practice, for people to talk through or for a conversation that plays itself."""
