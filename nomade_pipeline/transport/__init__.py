"""Ways out of this machine, each with a deadline: mail and HTTP. Standard library only, Python 3.9.

The delivery of alerts and the agent's dead-man's switch both send through here.
"""
