"""What every package of infra uses: output to the terminal, moments in time, private files."""
