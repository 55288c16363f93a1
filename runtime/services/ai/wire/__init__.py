"""Translation between OpenAI's chat completions, which callers speak, and what each provider speaks."""
