"""Apple's pass format as tables, and the checks that read them: the one source for keys, tags, styles and images.

`keys` and `images` are the tables, `kinds` the types of values, `check` the entry points for a whole pass.json and for
the parts that an item adds, `schema` the same tables as JSON Schema. Nothing is imported here, so that a function pays
only for the module that it uses.
"""
