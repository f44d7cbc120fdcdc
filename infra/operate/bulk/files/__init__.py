"""Files of rows: CSV, JSON lines, Parquet and Excel, read row by row with line numbers and the original text."""
