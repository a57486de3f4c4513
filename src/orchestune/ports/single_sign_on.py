"""The interface of an identity provider at which people sign in: OpenID Connect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class VerifiedPerson:
    """A person whom the provider has identified and this server admits."""

    subject: str
    """digest of the issuer and the person's id there, which never changes"""
    name: str
    role: str
    """`viewer`, `editor` or `owner`"""
    renewal: str = ""
    """encrypted refresh token, for `renew`; empty: the provider gave none"""


@dataclass(frozen=True)
class BrowserSecrets:
    """Random texts that tie one sign-in of a browser together; only that browser gets them."""

    state: str
    nonce: str
    verifier: str
    """PKCE code verifier: 43 to 128 URL-safe characters"""


@dataclass(frozen=True)
class DeviceSignIn:
    """A sign-in of a command line that a person approves in any browser."""

    handle: str
    """encrypted device code, for `person_of_device`"""
    user_code: str
    address: str
    """page of the provider at which the person enters `user_code`"""
    complete_address: str
    """the same with the code; empty if the provider has none"""
    seconds: float
    """time in which the person can approve it"""
    interval: float
    """seconds between two calls of `person_of_device`"""


class SingleSignOn(Protocol):
    """An identity provider. All methods block on network calls of bounded duration; none is retried.

    They raise ProviderUnavailable if the provider does not answer, and Denied if it refuses, if its answer is not valid
    for this server, or if the server admits no such person.
    """

    @property
    def name(self) -> str:
        """The provider's name on the sign-in page."""

    def address(self, secrets: BrowserSecrets, callback: str) -> str:
        """Return the provider's page at which a browser signs in; it then returns to the URL `callback`."""

    def person_of_code(self, code: str, secrets: BrowserSecrets, callback: str) -> VerifiedPerson:
        """Return the person who signed in with a browser. `code` is valid once."""

    def begin_device(self) -> DeviceSignIn:
        """Begin the sign-in of a command line. Raises Denied if the provider does not offer that."""

    def person_of_device(self, handle: str) -> VerifiedPerson | None:
        """Return the person who approved a sign-in, once; None while it is pending."""

    def renew(self, renewal: str, subject: str) -> VerifiedPerson:
        """Return the person as the provider knows them now. The result has the renewal to use from now on.

        Raises Denied if the person's session at the provider is over, or they are no longer admitted.
        """

    def revoke(self, renewal: str) -> None:
        """Revoke the refresh token at the provider. Does nothing if the provider does not support that."""
