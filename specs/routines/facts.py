# Runs in the sandbox: nothing but the standard library, and `input`, the step's `with`.
def main(input):  # noqa: A002 - its name in the spec
    topic = str(input["topic"]).strip()
    words = topic.split()
    return {"topic": topic, "words": len(words), "longest": max(words, key=len, default="")}
