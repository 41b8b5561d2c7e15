"""Training what is not frozen: the linear probe's optimum, and the one training loop."""
