"""What a stage costs a month: requests counted per flow (`flows.py`), list prices (`prices.py`), and their product."""
