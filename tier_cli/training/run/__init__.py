"""Carry out one training run from a manifest to a checkpoint folder."""
