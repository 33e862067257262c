"""`python -m gridlink.node SETTINGS` runs one node process."""

from gridlink import lean

lean.import_libraries()  # before anything else does

from gridlink.node.process import main  # noqa: E402

main()
