"""The rules, in plain Python: no clock, no disk, no pytest. Everything outside asks here what a fact means."""
