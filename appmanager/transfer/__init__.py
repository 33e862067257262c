"""A bundle's file on its way through a JetStream stream: put there by an operator, fetched by a board in chunks."""
