"""A packed bundle, one `.glb` file: a zip in one fixed form, whose first entry lists the digest of every other."""
