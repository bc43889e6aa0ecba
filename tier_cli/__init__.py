"""Score chest X-rays against findings written as text. For research use."""

__version__ = "0.1.0"
