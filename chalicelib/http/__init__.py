"""HTTP at the border: requests parsed into values, results and errors turned into responses."""
