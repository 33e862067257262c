"""`python -m gridlink.node SETTINGS` runs one node process."""

from gridlink.node.process import main

main()
