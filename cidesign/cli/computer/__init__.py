"""Commands about this computer: what is installed, and the shell."""
