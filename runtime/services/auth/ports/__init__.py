"""What other services, the HTTP part and the routes may use of accounts and keys."""

from runtime.services.auth.ports.accounts import Accounts, Admission, Profile, Profiles, User, Users
from runtime.services.auth.ports.belongings import Belongings
from runtime.services.auth.ports.keys import ApiKey, ApiKeys, Signing, SigningKeyView
from runtime.services.auth.ports.sessions import Device, Sessions, Signed, Visitor
from runtime.services.auth.ports.texts import TextMessages

__all__ = [
    "Accounts",
    "Admission",
    "ApiKey",
    "ApiKeys",
    "Belongings",
    "Device",
    "Profile",
    "Profiles",
    "Sessions",
    "Signed",
    "Signing",
    "SigningKeyView",
    "TextMessages",
    "User",
    "Users",
    "Visitor",
]
