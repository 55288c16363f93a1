const words = input.text.split(/\s+/).filter(Boolean);
if (words.length === 0) throw new Error("there is no text");
({ words: words.length, longest: words.reduce((a, b) => (b.length > a.length ? b : a)) });
