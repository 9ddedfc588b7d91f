"""Laws of plug-ins, and harnesses for tests and benchmarks; the product never imports them."""
