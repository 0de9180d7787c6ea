"""Pure decisions: (spec, observation, memory, now) -> Decision. No input or output, no clock."""
