"""Python for the sandbox: Pyodide, fetched once, prepared, and kept in a cache."""
