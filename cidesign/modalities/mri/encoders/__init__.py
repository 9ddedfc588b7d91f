"""The optics of an MRI scan: lines of k-space, receive coils and their Fourier transforms."""
