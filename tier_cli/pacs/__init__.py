"""Receive images from a PACS, keep them until their studies are scored, and send results on."""
