"""The page at `/`: accounts and inbox for people. `page/` holds what a browser gets, as it stands there."""
