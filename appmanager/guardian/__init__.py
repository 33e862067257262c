"""The guardian: the first process. It starts nats-server and the node, owns all children, and outlives what dies."""
