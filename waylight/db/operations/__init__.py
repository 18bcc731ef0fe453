"""SQL of set-up, chores and health: what operators and the worker need, and no passenger."""
