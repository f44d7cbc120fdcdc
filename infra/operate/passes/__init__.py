"""Issues, changes and shows single passes."""
