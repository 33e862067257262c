"""Who may have software changed: commands that an operator has signed, and a site's list of operators."""
