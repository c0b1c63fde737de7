"""What an access token says: the names and limits all services agree on (RFC 7519, RFC 9068)."""

from typing import Final

ISSUER: Final = "orderflow-auth"
AUDIENCE: Final = "shop-api"
JWT_TYP: Final = "at+jwt"
ALGORITHM: Final = "EdDSA"

ACCESS_TOKEN_SECONDS: Final = 600
MAX_TOKEN_SECONDS: Final = 900
MAX_TOKEN_BYTES: Final = 4096
CLOCK_LEEWAY_SECONDS: Final = 30

CUSTOMER: Final = "customer"
OPERATOR: Final = "operator"
