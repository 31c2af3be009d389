"""Real servers, a real Turnout and real clients for the end-to-end tests and the demo."""
