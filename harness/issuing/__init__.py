"""From a recorded campaign to its outputs: report, certificate, record; and whether the record still verifies."""
