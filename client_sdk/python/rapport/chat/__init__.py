"""`rapport chat`: conversations in a terminal.

`screen` is the full-screen face, `plain` the one of printed lines. Both obey the same commands (`commands`) and say the
same things (`words`). What the full screen shows is a pure model (`model`) laid out by pure functions (`render`).
"""
