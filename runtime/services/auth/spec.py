"""The `auth` section: accounts, sessions, passwords and API keys."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from runtime.spec.fields import Live, Section, section, setting
from runtime.spec.kinds import (
    Duration,
    DurationOrZero,
    Form,
    Positive,
    Rate,
    Secret,
    Size,
    StatePath,
    Text,
    Url,
)

BcryptRounds = Annotated[int, Field(strict=True, ge=4, le=20)]


KeyPrefix = Annotated[
    str,
    Form(
        "KeyPrefix",
        "Lower-case letters and digits with `_` at the end.",
        pattern=r"^[a-z][a-z0-9]{0,15}_$",
        refusal='not a prefix: write lower-case letters and "_" at the end, such as "rt_"',
        examples=["rt_"],
    ),
]


class JwtSpec(Section):
    """Access and refresh tokens."""

    algorithm: Literal["RS256"] = setting("RS256", "How access tokens are signed.", example="RS256")
    access_ttl: Live[Duration] = setting("15m", "How long an access token is good.", example="5m")
    refresh_ttl: Live[Duration] = setting(
        "365d", "How long a session lives, however often it is refreshed.", example="30d"
    )
    reuse_grace: Live[DurationOrZero] = setting(
        "30s",
        "How long a refresh token that was just used gives the same answer again, for parallel tabs.",
        example="0s",
    )
    leeway: DurationOrZero = setting("2m", "How far the clocks of two machines may differ.", example="30s")
    issuer: Url | None = setting(
        None, "Who issues the tokens; by default `api.public_url`.", example="https://core.example.com"
    )
    audience: Text | None = setting(
        None, "Whom the tokens are for; by default the name of the environment.", example="core-services"
    )
    keys: StatePath | None = setting(
        None,
        "The folder of the signing keys, made at the first start; by default `keys` in the state folder.",
        example=".runtime/keys",
    )
    signing_key: Secret | None = setting(
        None,
        "The signing key as PEM, where it comes from Vault and not from `keys`.",
        example="${vault:signing#private_key}",
    )
    previous_key: Secret | None = setting(
        None, "The signing key before, whose tokens are still good.", example="${vault:signing#previous_key}"
    )


class SessionsSpec(Section):
    """Sessions of browsers."""

    max_users: Live[Positive] = setting(8, "How many accounts one session may hold.", example=1)


class LockoutSpec(Section):
    """When an account refuses further passwords from a device or an address."""

    attempts: Positive = setting(5, "Wrong passwords within the window.", example=10)
    window: Duration = setting(
        "15m", "The time in which they are counted, and for which it holds at first.", example="1h"
    )


class ArgonSpec(Section):
    """The cost of Argon2id."""

    memory: Size = setting("64MiB", "Memory for one hash.", example="19MiB")
    passes: Positive = setting(3, "Passes over the memory.", example=2)


class PasswordsSpec(Section):
    """How passwords are kept."""

    hash: Literal["bcrypt", "argon2id"] = setting(
        "bcrypt", "The hash; an older one is replaced at the next sign-in.", example="argon2id"
    )
    rounds: BcryptRounds = setting(12, "The cost of bcrypt.", example=13)
    argon2: ArgonSpec = section("The cost of Argon2id.")
    min_length: Live[Annotated[int, Field(strict=True, ge=8, le=128)]] = setting(
        8, "The shortest password.", example=12
    )
    lockout: Live[LockoutSpec] = section("When an account refuses further passwords from a device or an address.")


class CodesSpec(Section):
    """Single-use codes by mail and text message."""

    ttl: Duration = setting("15m", "How long a code is good.", example="1h")
    invitation_ttl: Duration = setting("7d", "How long the code of an invitation is good.", example="24h")
    attempts: Positive = setting(
        5, "Wrong tries of a code from one network address; twenty times as many in all end it.", example=3
    )


class ApiKeysSpec(Section):
    """API keys."""

    hash: Literal["bcrypt"] = setting("bcrypt", "How they are kept.", example="bcrypt")
    rounds: BcryptRounds = setting(10, "The cost of bcrypt.", example=12)
    prefix: KeyPrefix = setting("rt_", "What they begin with, so that a leaked one is recognised.", example="core_")
    rate: Live[Rate | None] = setting(None, "Requests of one key that names no limit of its own.", example="100/m")


class AuthSpec(Section):
    """Who may use the environment."""

    signup: Live[Literal["open", "invite", "closed"]] = setting("closed", "Who may make an account.", example="invite")
    jwt: JwtSpec = section("Access and refresh tokens.")
    sessions: SessionsSpec = section("Sessions of browsers.")
    passwords: PasswordsSpec = section("How passwords are kept.")
    codes: CodesSpec = section("Single-use codes by mail and text message.")
    api_keys: ApiKeysSpec = section("API keys.")
