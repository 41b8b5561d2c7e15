"""Networks as drawings: what flows where, block by block, with what is frozen in colour."""
