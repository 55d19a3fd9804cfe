"""Personal data in Korean text: found and replaced by a placeholder that says what stood there, or left to a person."""
