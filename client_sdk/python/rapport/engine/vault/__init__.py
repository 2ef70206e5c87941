"""What the vault holds of everything: typed tables, records, errands, and the turn that changes them."""
