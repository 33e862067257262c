"""The bus: one protocol (`protocol`), kept by an in-process bus (`local`) and by one over NATS (`nats`)."""
