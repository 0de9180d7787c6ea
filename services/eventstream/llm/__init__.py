"""Language models: which one answers, what it is asked, what it may cost, how it fails.

`models.Models` is the way in; the other modules are its parts. `local` is the keyless model.
Nothing is imported here, so that the local model's embeddings can be used alone.
"""
