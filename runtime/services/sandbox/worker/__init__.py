"""The confined process: it runs the code of strangers and knows nothing but its socket.

It is started with an empty environment and only the standard library in reach, so nothing here imports anything else
of the runtime. `__main__.py` shows its life in one page.
"""
