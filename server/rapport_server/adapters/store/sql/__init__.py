"""What every SQL database shares: the tables, and the cold records as functions of a SQLAlchemy Core connection.

Functions that write take a Transaction and raise Rejected when they refuse; whoever called rolls back. Functions that
only read take the connection. None of them knows which database it speaks to.
"""
