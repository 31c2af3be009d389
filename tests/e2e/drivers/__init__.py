"""Client programs, one a driver: what each shows directly it must show through Turnout."""
