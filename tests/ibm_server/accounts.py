"""Who may ask: the API key, the access tokens made from it, and the instance that they open."""

import base64
import json
import secrets
import time
import uuid

from tests.ibm_server.answers import Answer, Request, refusal

PLAN = "quantum-open-plan"


class Account:
    """One API key with one instance. Neither the key nor a token made from it appears in any message.

    Attributes:
        token_seconds: How long an access token counts from now on; clients renew one after 80% of that.
    """

    def __init__(self):
        self.token_seconds = 3600
        self.token = secrets.token_urlsafe(33)
        self.crn = f"crn:v1:bluemix:public:quantum-computing:us-east:a/{uuid.uuid4().hex}:{uuid.uuid4()}::"
        self._access_tokens: dict[str, float] = {}

    def revoke_tokens(self) -> None:
        """Refuse the access tokens given out so far: their holders get 401."""
        self._access_tokens = {}

    def issue_token(self, request: Request) -> Answer:
        """Answer POST /identity/token."""
        if request.form.get("apikey") != self.token:
            error = {"errorCode": "BXNIM0415E", "errorMessage": "Provided API key could not be found."}
            return Answer(400, error)
        now = int(time.time())
        claims = {"iat": now, "exp": now + self.token_seconds, "jti": secrets.token_hex(16)}
        # An unsigned JSON Web Token: the client reads its two times and checks nothing else.
        token = ".".join([_base64({"alg": "none"}), _base64(claims), secrets.token_urlsafe(16)])
        self._access_tokens[token] = claims["exp"]
        body = {"access_token": token, "refresh_token": "not_supported", "token_type": "Bearer"}
        return Answer(
            200, {**body, "expires_in": self.token_seconds, "expiration": claims["exp"], "scope": "ibm openid"}
        )

    def list_instances(self, request: Request) -> Answer:
        """Answer the global search for instances."""
        if not self._holds_token(request):
            return refusal(401, "unauthorized", "The access token is not valid.")
        item = {"crn": self.crn, "name": "tests", "service_plan_unique_id": PLAN, "tags": []}
        return Answer(200, {"items": [{**item, "doc": {"extensions": {"allocations": 1}}}], "search_cursor": None})

    def describe_plan(self, request: Request) -> Answer:
        """Answer the global catalog's entry of the instance's plan."""
        if not self._holds_token(request):
            return refusal(401, "unauthorized", "The access token is not valid.")
        return Answer(200, {"overview_ui": {"en": {"display_name": "Open"}}, "metadata": {"pricing": {"type": "free"}}})

    def check(self, request: Request) -> Answer | None:
        """Return the refusal of a runtime call without the right headers, or None."""
        if not self._holds_token(request):
            return refusal(401, 1215, "The access token is missing or not valid.")
        if not request.headers.get("Service-CRN"):
            return refusal(400, 1214, "The header Service-CRN is missing.")
        if request.headers["Service-CRN"] != self.crn:
            return refusal(403, 1216, "The account has no access to this instance.")
        return None

    def _holds_token(self, request: Request) -> bool:
        kind, _, token = (request.headers.get("Authorization") or "").partition(" ")
        return kind == "Bearer" and time.time() <= self._access_tokens.get(token, 0)


def _base64(data: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()
