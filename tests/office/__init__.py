"""Office hours against an oracle of their own."""

import zoneinfo

zoneinfo.reset_tzpath(to=())  # the rules that the product uses: those of the package `tzdata`
