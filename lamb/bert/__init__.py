"""BERT (arXiv:1810.04805) as the LAMB paper trains it: data, model, jobs."""
