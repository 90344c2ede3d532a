"""Plans, accounts, users and their records."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models


class Plan(models.Model):
    slug = models.SlugField(unique=True)

    class Meta:
        db_table = "plans"


class Account(models.Model):
    name = models.CharField(max_length=80)
    plan = models.ForeignKey(Plan, models.PROTECT)
    owner = models.ForeignKey("User", models.SET_NULL, null=True, related_name="owned")
    status = models.CharField(max_length=10, default="active")

    class Meta:
        db_table = "accounts"


class User(AbstractBaseUser):
    email = models.EmailField(unique=True)
    role = models.CharField(max_length=20, default="member")
    is_active = models.BooleanField(default=True)
    tenant = models.ForeignKey(Account, models.SET_NULL, null=True, related_name="users")
    # Written at log-out and at a change of password. BUG A6: nothing in the app ever reads it.
    tokens_valid_after = models.DateTimeField(null=True)

    objects = BaseUserManager()
    USERNAME_FIELD = "email"

    class Meta:
        db_table = "users"


class Record(models.Model):
    account = models.ForeignKey(Account, models.CASCADE)
    text = models.CharField(max_length=200)
    updated_by = models.ForeignKey(User, models.PROTECT)

    class Meta:
        db_table = "records"
