"""The self-contained HTML page that shows the maps of one study."""
