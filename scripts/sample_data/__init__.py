"""The makings of `sample_data.xlsx`: an invented service, written down by many hands, and the dirt on it."""
