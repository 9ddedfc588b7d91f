"""Device files: writers, their manifests, and readers that share no code with the writers."""
