"""The tables in docs/networks and docs/zh/networks: what they hold and how it is put in words."""
