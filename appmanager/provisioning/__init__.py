"""What is done to modules: the steps of each command, carried out so that a power cut leaves the old or the new."""
