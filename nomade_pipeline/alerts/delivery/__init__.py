"""How a message reaches people and machines: one sender a kind of target."""
