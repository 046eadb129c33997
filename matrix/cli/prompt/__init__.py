"""The prompt that `matrix query STORE` opens on a terminal.

`session` what is remembered between two lines, and what each line does · `editor` the line being typed, its keys and
what stands below it · `draft` what is wrong with it so far · `colours` how it looks · `completer` what may come next ·
`commands` the lines that are no questions · `history` what was typed before.

prompt_toolkit is imported here and nowhere else, and only when a prompt opens.
"""
