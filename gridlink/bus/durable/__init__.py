"""Durable topics: events that JetStream keeps until each subscriber has handled them. Loaded where one is declared."""
