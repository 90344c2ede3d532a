# Read at the end of settings.py: the app believes the gateway's assertion and nothing else.
import os

INSTALLED_APPS += ["countersign_django", "system_b.echo.EchoConfig"]
MIDDLEWARE += ["countersign_django.middleware.IdentityMiddleware"]
REST_FRAMEWORK["DEFAULT_AUTHENTICATION_CLASSES"] = [
    "countersign_django.rest_framework.CountersignAuthentication"
]
COUNTERSIGN = {
    "JWKS_URL": os.environ["JWKS_URL"],
    "AUDIENCE": "app",
    "PUBLIC_PATHS": ["/health", "/api/token/"],
    "STAMP_USERS": True,
}
