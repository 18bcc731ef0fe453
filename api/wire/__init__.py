"""What every route shares: who may call, strict JSON, errors, limits, pages, versions."""
