"""Radiology reports: their sections, their sentences, and what these claim."""
