"""What provisioning keeps on disk: a journal, staged and older versions, a record. Each write goes through a `Disk`."""
