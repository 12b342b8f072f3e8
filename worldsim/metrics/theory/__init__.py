"""What the papers prove, as numbers: error budgets, timestep sets, worlds whose score or information is known."""
