"""Waiting rooms: their doors by the server's word, places that are kept, what is sealed about them."""
