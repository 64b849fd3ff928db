"""The CNN loop filter (arXiv:1805.06121); nothing is built here yet."""
