"""The demonstration: a few hundred realistic texts, sent and watched while they are answered."""
