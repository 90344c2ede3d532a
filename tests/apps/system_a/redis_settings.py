# Sessions in Redis: with rows behind them in Django's own cache, without in django-redis'.
SESSION_ENGINE = f"django.contrib.sessions.backends.{os.environ['SESSION_ENGINE']}"
CACHES = {
    "default": {
        "BACKEND": {
            "cached_db": "django.core.cache.backends.redis.RedisCache",
            "cache": "django_redis.cache.RedisCache",
        }[os.environ["SESSION_ENGINE"]],
        "LOCATION": os.environ["REDIS_URL"],
        "KEY_PREFIX": "system-a",
    }
}
