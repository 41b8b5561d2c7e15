"""Networks as material: select layers, freeze them, cut a network in two, summarise it."""
