"""Client programs of MySQL and MariaDB, one a driver: what each shows directly it must show through Turnout."""
