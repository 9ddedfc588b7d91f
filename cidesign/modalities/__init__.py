"""What is measured: one folder for each modality, and nothing general."""
