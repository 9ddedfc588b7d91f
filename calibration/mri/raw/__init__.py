"""Raw k-space files: ISMRMRD, Siemens twix, fastMRI, BART, npy."""
