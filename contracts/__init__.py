"""What crosses a service border: events, their envelope, money and names. Imports pydantic only."""
