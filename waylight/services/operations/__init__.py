"""What keeps a deployment well: migrations, the worker's chores, the doctor, the demo's keys."""
