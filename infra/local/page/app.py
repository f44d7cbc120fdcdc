"""The routes of the page: parts of it as HTML, actions as POST, changes as server-sent events."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
from botocore.exceptions import BotoCoreError, ClientError
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from chalicelib.core.errors import PasswireError
from chalicelib.core.identifiers import PassId
from chalicelib.preview import script, stylesheet
from infra.local.page.device_logs import DeviceLogFeed
from infra.local.page.faults import SWITCHES, StandInFaults
from infra.local.page.feed import PushFeed
from infra.local.page.guard import Guard
from infra.local.page.handle import PHONES_FILE
from infra.local.page.items import Items, describe_changes, new_pass_id
from infra.local.page.live import Live
from infra.local.page.phones import PagePhones, PhonesError
from infra.local.page.shown_phone import PassKey, Screen
from infra.local.page.views import FOLDER, Drawings, environment
from infra.local.phone import PhoneEvent
from infra.stage.aws import explain
from infra.stage.stage import Stage

WATCH_SECONDS = 0.3
TIMELINE_LINES = 80
ACTION_SECONDS = 60.0
LINK_PATH = "/p/"
Form = Mapping[str, str]
EXPECTED = (PasswireError, BotoCoreError, ClientError, httpx.HTTPError)


def build_app(description: Mapping[str, Any], *, folder: Path, port: int) -> Starlette:
    """Return the application.

    Args:
        description: of the local run, as in `local.json`.
        folder: for the phones.
        port: that it is served on.
    """
    return _PageApp(description, folder).application(port)


class _PageApp:
    def __init__(self, description: Mapping[str, Any], folder: Path) -> None:
        self._description = description
        self._live = Live(secrets.token_hex(8))
        self._phones = PagePhones(folder / PHONES_FILE, self._live.publish)
        self._faults = StandInFaults(description["apns_control_url"])
        self._stage = Stage.open(description["stage"])
        self._items = Items(self._stage)
        self._drawings = Drawings()
        self._templates = environment()

    def application(self, port: int) -> Starlette:
        static = StaticFiles(directory=FOLDER / "static")
        routes = [
            Route("/", self._page),
            Route("/phones", self._part("phones.html", self._phones_part)),
            Route("/phones/{number:int}", self._part("phone.html", self._phone_part)),
            Route("/item", self._part("item.html", self._item_part)),
            Route("/faults", self._part("faults.html", self._faults_part)),
            Route("/timeline", self._part("timeline.html", self._timeline_part)),
            Route("/events", self._events),
            Route("/cards.css", partial(_text, "text/css", stylesheet)),
            Route("/cards.js", partial(_text, "text/javascript", _drawing_script)),
            Route("/palettes/{name}.css", self._palette),
            *(Route(path, self._action(act), methods=["POST"]) for path, act in self._actions().items()),
            Mount("/static", static),
        ]
        return Starlette(routes=routes, middleware=[Middleware(Guard, port=port)], lifespan=self._lifespan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._live.start()
        PushFeed(self._description["apns_control_url"], self._phones.deliver).start()
        DeviceLogFeed(self._stage, lambda text: self._phones.note("API", PhoneEvent("log", text))).start()
        watching = asyncio.create_task(self._watch())
        yield
        watching.cancel()

    async def _watch(self) -> None:
        """Notify open pages of items and faults that other programs change."""
        items: dict[str, Any] | None = None
        faults: dict[str, Any] | None = None
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if not self._live.has_pages:
                continue
            with contextlib.suppress(*EXPECTED):
                items = self._note_items(items, await run_in_threadpool(self._items.snapshot))
                faults_now = await run_in_threadpool(self._faults.current)
                if faults_now != faults:
                    self._live.publish("faults")
                faults = faults_now

    def _note_items(self, before: dict[str, Any] | None, now: dict[str, Any]) -> dict[str, Any]:
        for line in describe_changes(now if before is None else before, now):
            self._phones.note("Table", PhoneEvent("write", line))
            self._live.publish("items")
        return now

    # Parts of the page

    async def _page(self, request: Request) -> Response:
        values = await run_in_threadpool(self._all_parts, request.query_params.get("pass", ""))
        return HTMLResponse(self._templates.get_template("page.html").render(**values))

    def _all_parts(self, wanted: str) -> dict[str, Any]:
        return {
            "description": self._description,
            **self._phones_part(None),
            **self._item_values(wanted),
            **self._faults_part(None),
            **self._timeline_part(None),
        }

    def _part(self, template: str, values: Callable[[Request], dict[str, Any]]) -> Callable[[Request], Any]:
        async def respond(request: Request) -> Response:
            try:
                content = await run_in_threadpool(values, request)
            except PhonesError:
                return HTMLResponse("")
            return HTMLResponse(self._templates.get_template(template).render(**content))

        return respond

    def _phones_part(self, _: Request | None) -> dict[str, Any]:
        return {"phones": [self._drawings.phone(shown) for shown in self._phones.all()]}

    def _phone_part(self, request: Request) -> dict[str, Any]:
        return {"phone": self._drawings.phone(self._phones.get(request.path_params["number"]))}

    def _item_part(self, request: Request) -> dict[str, Any]:
        return self._item_values(request.query_params.get("pass", ""))

    def _item_values(self, wanted: str) -> dict[str, Any]:
        """Return the values of the form for the wanted pass, or for the first one if no pass is wanted."""
        pass_ids = self._items.pass_ids()
        chosen = wanted or next(iter(pass_ids), "")
        form, problem = None, ""
        if chosen:
            try:
                form = self._items.form(PassId.parse(chosen))
            except EXPECTED as error:
                problem = _sentence(error)
        listed = pass_ids if not chosen or chosen in pass_ids else [chosen, *pass_ids]
        return {
            "pass_ids": listed,
            "chosen": chosen,
            "form": form,
            "problem": problem,
            "template_names": self._items.templates(),
            "holders": [(shown.number, shown.name, _holds(shown.phone.passes, chosen)) for shown in self._phones.all()],
        }

    def _faults_part(self, _: Request | None) -> dict[str, Any]:
        try:
            current = self._faults.current()
        except httpx.HTTPError:
            current = {}
        return {"switches": [(switch, switch.is_on(current)) for switch in SWITCHES]}

    def _timeline_part(self, _: Request | None) -> dict[str, Any]:
        return {"happenings": self._phones.timeline()[:TIMELINE_LINES]}

    async def _events(self, _: Request) -> Response:
        return EventSourceResponse(self._live.events())

    async def _palette(self, request: Request) -> Response:
        css = self._drawings.palettes.get(request.path_params["name"])
        if css is None:
            return Response(status_code=404)
        return Response(css, media_type="text/css", headers={"Cache-Control": "max-age=86400"})

    # Actions

    def _actions(self) -> dict[str, Callable[[Form, Request], str]]:
        return {
            "/phones": self._add_phone,
            "/phones/{number:int}/remove": self._remove_phone,
            "/phones/{number:int}/power": self._power,
            "/phones/{number:int}/language": self._language,
            "/phones/{number:int}/screen": self._screen,
            "/phones/{number:int}/open": self._open,
            "/phones/{number:int}/pass/{act}": self._pass_action,
            "/item": self._save_item,
            "/item/new": self._new_item,
            "/item/delete": self._delete_item,
            "/faults": self._turn_fault,
        }

    def _action(self, act: Callable[[Form, Request], str]) -> Callable[[Request], Any]:
        """Return a route that acts on a form, and answers with a message for people."""

        async def respond(request: Request) -> Response:
            form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
            is_problem = False
            try:
                message = await run_in_threadpool(act, form, request)
            except EXPECTED as error:
                message, is_problem = _sentence(error), True
            page = self._templates.get_template("message.html").render(message=message, is_problem=is_problem)
            return HTMLResponse(page)

        return respond

    def _add_phone(self, form: Form, _: Request) -> str:
        self._phones.add(form.get("language", ""))
        return ""

    def _remove_phone(self, _: Form, request: Request) -> str:
        self._phones.remove(request.path_params["number"])
        return ""

    def _power(self, form: Form, request: Request) -> str:
        self._phones.switch(request.path_params["number"], on=form.get("on", "") == "1")
        return ""

    def _language(self, form: Form, request: Request) -> str:
        self._phones.speak(request.path_params["number"], form.get("language", ""))
        return ""

    def _screen(self, form: Form, request: Request) -> str:
        selected = _pass_key(form) if "pass" in form else None
        self._phones.show(request.path_params["number"], Screen(form.get("screen", "")), selected=selected)
        return ""

    def _open(self, form: Form, request: Request) -> str:
        """Add a pass to a phone: by its link, or by its id, for which a link is made."""
        link = form.get("link", "").strip()
        if not link:
            link = self._items.link(PassId.parse(form.get("pass", "")))
        elif not link.startswith(f"{self._description['api_url']}{LINK_PATH}"):
            raise PhonesError(
                "that is not a download link of this run; `passwire pass link PASS --stage local` makes one"
            )
        return self._finished(request, self._phones.open_link(request.path_params["number"], link))

    def _pass_action(self, form: Form, request: Request) -> str:
        acts = {
            "remove": self._phones.remove_pass,
            "unregister": self._phones.unregister,
            "register": self._phones.register,
            "refresh": self._phones.refresh,
        }
        act = acts.get(request.path_params["act"])
        if act is None:
            raise PhonesError("there is no such action")
        return self._finished(request, act(request.path_params["number"], _pass_key(form)))

    def _finished(self, request: Request, working: Any) -> str:  # noqa: ANN401 - a future
        """Wait for an action of a phone; its problem is shown at the phone."""
        working.result(ACTION_SECONDS)
        self._live.publish("items")
        return self._phones.get(request.path_params["number"]).problem

    def _save_item(self, form: Form, _: Request) -> str:
        pass_id = PassId.parse(form.get("pass", ""))
        written = self._items.save(
            pass_id, before=_prefixed(form, "was."), after=_prefixed(form, "field."), voided="voided" in form
        )
        self._live.publish("items")
        return f"Wrote {pass_id}." if written else "Nothing has changed."

    def _new_item(self, form: Form, _: Request) -> str:
        wanted = form.get("pass", "").strip()
        pass_id = PassId.parse(wanted) if wanted else new_pass_id(self._description["pass_type_identifier"])
        self._items.issue(pass_id, form.get("template", ""))
        self._live.publish("items")
        return f"Issued {pass_id}."

    def _delete_item(self, form: Form, _: Request) -> str:
        pass_id = PassId.parse(form.get("pass", ""))
        self._items.delete(pass_id)
        self._live.publish("items")
        return f"Deleted {pass_id}. Phones keep the pass, and get no more updates."

    def _turn_fault(self, form: Form, _: Request) -> str:
        on = form.get("on", "") == "1"
        try:
            switch = self._faults.turn(form.get("fault", ""), on=on)
        except KeyError:
            raise PhonesError("there is no such fault") from None
        self._phones.note("APNs", PhoneEvent("fault", f"{switch.title}: {'on' if on else 'off'}", ok=not on))
        self._live.publish("faults")
        return ""


async def _text(media_type: str, content: Callable[[], str], _: Request) -> Response:
    return Response(content(), media_type=media_type, headers={"Cache-Control": "no-cache"})


def _drawing_script() -> str:
    """Return the preview's script as a function that draws one element, since the page changes in parts."""
    return f"export function draw(document) {{\n{script()}\n}}\n"


def _sentence(error: BaseException) -> str:
    return explain(error) if isinstance(error, (BotoCoreError, ClientError)) else str(error)


def _pass_key(form: Form) -> PassKey:
    pass_id = PassId.parse(form.get("pass", ""))
    return pass_id.pass_type_identifier, pass_id.serial_number


def _prefixed(form: Form, prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in form.items() if name.startswith(prefix)}


def _holds(passes: Mapping[PassKey, object], pass_id: str) -> bool:
    return any("/".join(key) == pass_id for key in list(passes))
