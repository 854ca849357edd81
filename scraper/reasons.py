"""Why a request ended as it did: one enumeration, counted in every summary."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The reason of an outcome, and the kind of a FetchError."""

    OK = "ok"

    # Dropped before it became a request: counted, recomputed by `explain`.
    BAD_URL = "bad_url"
    BAD_SCHEME = "bad_scheme"
    URL_TOO_LONG = "url_too_long"
    OUT_OF_SCOPE = "out_of_scope"
    NOFOLLOW = "nofollow"
    TOO_MANY_LINKS = "too_many_links"
    DUPLICATE = "duplicate"
    # Dropped with a row of its own.
    TOO_DEEP = "too_deep"
    HOST_LIMIT = "host_limit"
    ROBOTS = "robots"
    SKIPPED = "skipped"

    # Connection and timing.
    DNS = "dns"
    REFUSED = "refused"
    RESET = "reset"
    UNREACHABLE = "unreachable"
    CONNECT_TIMEOUT = "connect_timeout"
    HEADER_TIMEOUT = "header_timeout"
    TIMEOUT = "timeout"
    SLOW_BODY = "slow_body"
    STALE = "stale"
    TLS = "tls"
    TLS_CERTIFICATE = "tls_certificate"
    PROXY = "proxy"
    LOCAL = "local"  # this machine: no file descriptors, no ports
    # What the server sent.
    PROTOCOL = "protocol"
    EMPTY_REPLY = "empty_reply"
    HEADERS_TOO_LARGE = "headers_too_large"
    PARTIAL = "partial"
    TOO_LARGE = "too_large"
    CODING = "coding"
    UNKNOWN_CODING = "unknown_coding"
    STATUS = "status"
    # Redirects and safety.
    BAD_REDIRECT = "bad_redirect"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    PRIVATE_ADDRESS = "private_address"
    BAD_REQUEST = "bad_request"
    # The host as a whole.
    ROBOTS_UNREACHABLE = "robots_unreachable"
    HOST_DOWN = "host_down"
    # What a process that died has left.
    UNKNOWN = "unknown"  # an unsafe request that may have been sent
    POISON = "poison"  # the process died three times while it worked on this page
    # Reading it.
    HTML_BOMB = "html_bomb"
    NOT_TEXT = "not_text"
    # The spider.
    CALLBACK_ERROR = "callback_error"
    CALLBACK_TIMEOUT = "callback_timeout"
    BAD_YIELD = "bad_yield"
    ASKED = "asked"  # the callback raised Retry
