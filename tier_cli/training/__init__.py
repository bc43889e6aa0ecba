"""Train TIER models: data, inputs, the training loop, whole runs, reports and sweeps."""
