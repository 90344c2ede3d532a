# Read at the end of settings.py: the app as it is, which also says whom it acted as.
INSTALLED_APPS += ["countersign_django", "system_b.echo.EchoConfig"]
MIDDLEWARE = ["countersign_django.middleware.EchoMiddleware", *MIDDLEWARE]
COUNTERSIGN = {"STAMP_USERS": True}
