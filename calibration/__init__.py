"""What a bench does to the light, measured from captures."""
