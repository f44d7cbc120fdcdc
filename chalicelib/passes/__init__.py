"""From a pass item and a template to a signed pass. Pure: no I/O, no clock."""
