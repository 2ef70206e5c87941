"""For those who test what they build on Rapport: journals that clients write, and a checker that reads them."""
