"""The runtime every service stands on (a microservice chassis). Knows no service."""
