"""The user's own model: a Python callable, an ONNX file, or an HTTP endpoint that is asked with care."""

from __future__ import annotations

import importlib
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from copycatch.errors import ConfigError, RecoverableError, TransportError
from copycatch.redteam.extras import require
from copycatch.redteam.inputs import FloatArray, Inputs
from copycatch.redteam.victims import Classify

HttpDialect = Literal["oip", "openai"]
TIMEOUT_S = 30.0
TOO_MANY_REQUESTS = 429


class Stopwatch(Protocol):
    """What the rate limit needs of a clock."""

    def monotonic_s(self) -> float: ...
    def sleep(self, duration_s: float) -> None: ...


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is a refusal: the credentials are for the endpoint that was named, and for no other."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)


def _checked(probabilities: object, n_queries: int, source: str) -> FloatArray:
    """Class probabilities as they must be, or a clear refusal."""
    answers = np.asarray(probabilities, dtype=np.float64)
    if answers.ndim != 2 or answers.shape[0] != n_queries or answers.shape[1] < 2:
        message = (
            f"{source} gave an array of shape {answers.shape}; ({n_queries}, number of classes) is needed"
        )
        raise ConfigError(message)
    if not np.isfinite(answers).all():
        message = f"{source} gave probabilities that are not finite"
        raise ConfigError(message)
    return answers


def callable_victim(path: str) -> Classify:
    """A function `module:function` from inputs to class probabilities.

    Parameters
    ----------
    path : str
        The function takes a float array (n_queries, n_features) or a list of texts, and gives an array
        (n_queries, n_classes).

    Raises
    ------
    ConfigError
        If there is no such function, or it gives something else.

    Examples
    --------
    >>> callable_victim("math:no_such_thing")
    Traceback (most recent call last):
    ...
    copycatch.errors.ConfigError: math:no_such_thing names no function; write module:function
    """
    module_name, _, name = path.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), name, None)
    except ModuleNotFoundError as error:
        message = f"{path}: there is no module {error.name!r} on the Python path"
        raise ConfigError(message) from error
    if not callable(function):
        message = f"{path} names no function; write module:function"
        raise ConfigError(message)

    def classify(inputs: Inputs) -> FloatArray:
        given = inputs.tolist() if inputs.dtype == object else inputs
        return _checked(function(given), len(inputs), path)

    return classify


def onnx_victim(path: Path) -> Classify:
    """An ONNX file with one input and a float output of class probabilities.

    Raises
    ------
    ConfigError
        If onnxruntime is missing, or the file cannot be read or has no such output.
    """
    runtime = require("onnxruntime")
    if not path.is_file():
        message = f"{path}: there is no such file"
        raise ConfigError(message)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = session.get_inputs()[0]
    is_text = "string" in wanted.type
    outputs = [o.name for o in session.get_outputs() if o.type == "tensor(float)" and len(o.shape) == 2]
    if not outputs:
        message = (
            f"{path} has no float output (queries, classes); export probabilities as a tensor (zipmap off)"
        )
        raise ConfigError(message)

    def classify(inputs: Inputs) -> FloatArray:
        given = inputs.reshape(-1, 1) if is_text else inputs.astype(np.float32)
        return _checked(session.run([outputs[-1]], {wanted.name: given})[0], len(inputs), str(path))

    return classify


class HttpVictim:
    """An endpoint, asked one query a request, never faster than the rate and never beyond the budget.

    Parameters
    ----------
    url : str
        OIP: `.../v2/models/NAME/infer`. OpenAI-style: `.../v1/chat/completions`.
    dialect : {"oip", "openai"}
    clock : Stopwatch
    queries_max : int
        A hard counter over everything that is sent, refused requests included.
    queries_per_s_max : float
    labels : sequence of str
        OpenAI-style: what the model may answer; an answer counts as the first label it contains.
    model : str
        OpenAI-style: the model's name.
    headers : dict
        Sent with each request, such as an authorisation of the user's own.
    """

    def __init__(
        self,
        url: str,
        dialect: HttpDialect,
        clock: Stopwatch,
        *,
        queries_max: int,
        queries_per_s_max: float,
        labels: Sequence[str] = (),
        model: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            message = f"{url}: an endpoint starts with http:// or https://"
            raise ConfigError(message)
        if dialect == "openai" and len(labels) < 2:
            raise ConfigError("an OpenAI-style endpoint needs the labels that it may answer, two or more")
        if queries_max < 1 or queries_per_s_max <= 0:
            raise ConfigError("an endpoint needs a query budget of at least 1 and a rate above 0")
        self._url, self._dialect, self._clock = url, dialect, clock
        self._labels, self._model = tuple(labels), model
        self._headers = {"content-type": "application/json", **(headers or {})}
        self._gap_s = 1.0 / queries_per_s_max
        self._next_s = clock.monotonic_s()
        self.queries_max = queries_max
        self.sent = 0

    def __call__(self, inputs: Inputs) -> FloatArray:
        """Class probabilities, shape (n_queries, n_classes).

        Raises
        ------
        TransportError
            If the budget is spent (before anything beyond it is sent), or the endpoint refuses.
        RecoverableError
            If it cannot be reached.
        """
        if self.sent + len(inputs) > self.queries_max:
            spent = f"{self.sent} of {self.queries_max} are spent"
            message = f"{len(inputs)} more queries would pass the budget: {spent}"
            raise TransportError(message)
        rows = [self._ask(row) for row in inputs]
        return _checked(rows, len(inputs), self._url)

    def _ask(self, row: object) -> FloatArray:
        now_s = self._clock.monotonic_s()
        if now_s < self._next_s:
            self._clock.sleep(self._next_s - now_s)
        self._next_s = max(now_s, self._next_s) + self._gap_s
        self.sent += 1
        body = oip_request(row) if self._dialect == "oip" else chat_request(row, self._model, self._labels)
        answer = self._post(json.dumps(body).encode())
        return oip_answer(answer) if self._dialect == "oip" else chat_answer(answer, self._labels)

    def _post(self, body: bytes) -> Any:
        request = urllib.request.Request(self._url, body, self._headers)  # noqa: S310 - scheme checked above
        try:
            with _OPENER.open(request, timeout=TIMEOUT_S) as reply:
                return json.loads(reply.read())
        except urllib.error.HTTPError as error:
            if error.code == TOO_MANY_REQUESTS:
                message = f"{self._url} says 429 (too many requests): lower --rate and start again"
                raise RecoverableError(message) from error
            message = f"{self._url} refused a query with status {error.code}"
            raise TransportError(message) from error
        except urllib.error.URLError as error:
            message = f"{self._url} cannot be reached: {error.reason}"
            raise RecoverableError(message) from error
        except json.JSONDecodeError as error:
            message = f"{self._url} did not answer with JSON"
            raise TransportError(message) from error


def oip_request(row: object) -> dict[str, object]:
    """One query in the Open Inference Protocol v2.

    Examples
    --------
    >>> oip_request(np.array([1.0, 2.0]))["inputs"][0]["shape"]
    [1, 2]
    >>> oip_request("hello")["inputs"][0]["datatype"]
    'BYTES'
    """
    if isinstance(row, str):
        return {"inputs": [{"name": "input", "shape": [1, 1], "datatype": "BYTES", "data": [row]}]}
    values = np.asarray(row, dtype=np.float64).tolist()
    return {"inputs": [{"name": "input", "shape": [1, len(values)], "datatype": "FP64", "data": values}]}


def oip_answer(answer: Any) -> FloatArray:
    """The longest floating-point output as probabilities of one query."""
    try:
        outputs = [o for o in answer["outputs"] if str(o["datatype"]).startswith("FP")]
        return np.asarray(max(outputs, key=lambda o: len(o["data"]))["data"], dtype=np.float64).ravel()
    except (KeyError, TypeError, ValueError) as error:
        raise TransportError("the endpoint's answer has no floating-point output of probabilities") from error


def chat_request(row: object, model: str, labels: Sequence[str]) -> dict[str, object]:
    """One query to an OpenAI-style chat endpoint that classifies."""
    system = "Answer with exactly one of: " + ", ".join(labels)
    messages = [{"role": "system", "content": system}, {"role": "user", "content": str(row)}]
    return {"model": model, "messages": messages, "temperature": 0, "max_tokens": 16}


def chat_answer(answer: Any, labels: Sequence[str]) -> FloatArray:
    """The label that the text names, as a sure answer; one that names none is spread evenly.

    Examples
    --------
    >>> chat_answer({"choices": [{"message": {"content": "Refund."}}]}, ["order", "refund"])
    array([0., 1.])
    """
    try:
        text = str(answer["choices"][0]["message"]["content"]).lower()
    except (KeyError, IndexError, TypeError) as error:
        raise TransportError("the endpoint's answer has no choices[0].message.content") from error
    offsets = [text.find(label.lower()) for label in labels]
    named = [(at, i) for i, at in enumerate(offsets) if at >= 0]
    if not named:
        return np.full(len(labels), 1 / len(labels))
    one_hot: FloatArray = np.eye(len(labels))[min(named)[1]]
    return one_hot
