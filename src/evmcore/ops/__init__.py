"""The opcode table and what is generated from it."""
