"""Apple's pass format as tables, and the checks that use them: the single source for keys, tags, styles and images.

`keys` and `images` are the tables, `kinds` the types of values, `check` the entry points for a whole pass.json and for
the parts that an item adds, and `schema` exports the tables as JSON Schema. The package imports nothing, so that a
function loads only the modules that it uses.
"""
