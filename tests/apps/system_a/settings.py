"""Settings of system A. Everything that differs between machines comes from the environment."""

from __future__ import annotations

import os

SECRET_KEY = os.environ["JWT_SECRET"]
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "system_a.urls"
WSGI_APPLICATION = "system_a.wsgi.application"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "system_a.User"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "rest_framework",
    "system_a",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "system_a.auth.AccountMiddleware",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
        "USER": os.environ["PGUSER"],
        "NAME": os.environ.get("APP_DATABASE", "system_a"),
        "CONN_MAX_AGE": 60,
    }
}
# Fast, for tests alone.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# BUG A5: sessions, tokens and Basic credentials, all on, on every view.
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "system_a.auth.AccountJWTAuthentication",
        "system_a.auth.CsrfFreeSessionAuthentication",
        "rest_framework.authentication.BasicAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}
# Lines that a deployment adds to what the app was, such as the middleware of `countersign-django`.
if extra := os.environ.get("EXTRA_SETTINGS"):
    exec(compile(open(extra).read(), extra, "exec"))  # noqa: SIM115
