"""The statements of alerts: reading them, acting on them, climbing the ladder, delivering."""
