"""The semantic cache: answers that were already paid for, given again where that is safe."""
