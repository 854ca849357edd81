"""How fast the framework is beside its floor and a hand-written loop, and how polite a server finds it."""
