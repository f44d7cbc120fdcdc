"""Templates: reads designers' folders, checks them against Apple's format, pushes and pulls them."""
