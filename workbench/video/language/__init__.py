"""What the person writes: types, words, and the compiler from text to a typed tree."""
