"""What systems are trained for and measured by."""
