"""Device limits as rules: checked on arrays here, trained against in `relax`."""
