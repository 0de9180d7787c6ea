"""Pure builders: what a stream's Deployments look like. Values in, dictionaries out."""
