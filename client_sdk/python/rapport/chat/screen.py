"""The full screen: `rapport chat` in a terminal. Joins the desk, the painters, the keys and prompt_toolkit."""

import asyncio
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition

import rapport
from rapport.chat.commands import obey
from rapport.chat.desk import Desk, begin, look, rows_of, settle_decided
from rapport.chat.keys import HINT, SHORT_HINT, bindings
from rapport.chat.layout import Line, centred, wrapped
from rapport.chat.paint import LIST_FROM, STYLE, CommandNames, Parts, put_together
from rapport.chat.render import (
    Renderer,
    elsewhere_words,
    header,
    notice_lines,
    promise_lines,
    row_lines,
    status_lines,
    typing_words,
)
from rapport.chat.trusting import subtitle_of
from rapport_protocol.ids import ConversationId, MessageId

__all__ = ["Screen"]

_REDRAW_S = 0.02
"""Least time between two drawings: what arrives in a burst is drawn at once."""
_ESCAPE_S = 0.2
"""How long the Escape key waits for an Enter behind it (Alt-Enter sends both), seconds."""
_INVITED = "Nobody has used this invitation yet. It is good for seven days."
_LAST_S = 2.0
"""How long leaving waits for what is still being kept, seconds."""
_QUICKLY_TYPED = 2
"""Words of a command that is not put back when it could not be carried out."""
_FAR = 1_000_000
_DRAFT_S = 1.0
"""What is typed is kept as a draft this often, seconds."""
_WELCOME = "There is nobody to talk to yet. /invite makes a link for somebody, /help lists everything else."


class Screen:
    """One person's full screen. notice: what they must be told at once, "" for nothing."""

    def __init__(self, client: rapport.Client, notice: str = "") -> None:
        self._desk = Desk(client, _now_ms, self._changed, self.leave)
        self._desk.model.notify(notice)
        self._renderer = Renderer()
        self._typed: asyncio.Queue[tuple[str, Mapping[MessageId, int]]] = asyncio.Queue()
        self._busy: asyncio.Task[bool] | None = None
        self._beside: set[asyncio.Task[None]] = set()
        self._written_in: ConversationId | None = None
        self._draft_due: asyncio.TimerHandle | None = None
        self._composer = Buffer(
            multiline=True,
            completer=CommandNames(),
            complete_while_typing=Condition(lambda: self._composer.text.startswith("/")),
            on_text_changed=lambda _: self._text_changed(),
        )
        parts = Parts(
            rows=lambda width, height: row_lines(self._desk.model, width, height),
            head=lambda width, _: [header(self._desk.model, width)],
            thread=self._thread,
            sheet=self._sheet,
            said=self._said,
            edge=self._edge,
            status=self._status,
        )
        layout = put_together(parts, self._composer, self._prompt, lambda: self._desk.opened is not None)
        self._app: Application[None] = Application(
            layout,
            style=STYLE,
            key_bindings=bindings(self, Condition(lambda: not self._composer.text)),
            full_screen=True,
            min_redraw_interval=_REDRAW_S,
            before_render=lambda _: self._before_render(),
        )
        self._app.ttimeoutlen = 0.05
        self._app.timeoutlen = _ESCAPE_S
        self._app.key_processor.after_key_press += self._key_pressed

    async def run(self) -> str:
        """Until the person leaves or the client is closed; the terminal is as it was then. Returns what to say last."""
        await begin(self._desk)
        tasks = [
            asyncio.create_task(self._app.run_async(set_exception_handler=False), name="chat-screen"),
            asyncio.create_task(self._desk.follow(), name="chat-events"),
            asyncio.create_task(self._work(), name="chat-commands"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._app.is_running:
                self._app.exit()
                await asyncio.gather(tasks[0], return_exceptions=True)
            self._keep_draft()
            if self._beside:
                await asyncio.wait(self._beside, timeout=_LAST_S)
            left = [*tasks, *self._beside]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        for task in done:
            task.result()
        return self._desk.farewell

    # --- keys (Keyboard) ----------------------------------------------------------------------------------------------

    def accept(self) -> None:
        """See Keyboard."""
        text, question = self._composer.text, self._desk.question
        if question is not None:
            question.give(text.strip())
        elif text.strip():
            self._desk.said = ""
            self._typed.put_nowait((text, self._desk.numbers.shown))
        else:
            self._desk.opened = None
            return
        self._composer.reset(append_to_history=question is None)
        self._keep_draft()

    def turn(self, pages: int) -> None:
        """See Keyboard."""
        lines = pages * max(self._app.output.get_size().rows - 6, 1)
        if self._desk.opened is not None:
            self._desk.opened.pages.by(lines)
        else:
            self._desk.scroll.by(lines)
        self._changed()

    def to_end(self) -> None:
        """See Keyboard."""
        if self._desk.opened is not None:
            self._desk.opened.pages.by(-_FAR)
        else:
            self._desk.scroll.to_end()
        self._changed()

    def step(self, by: int) -> None:
        """See Keyboard."""
        conversations = self._desk.client.conversations()
        here = next((at for at, found in enumerate(conversations) if found.id == self._desk.model.here), -1)
        if conversations and self._desk.question is None:
            self._do(self._desk.enter(conversations[(here + by) % len(conversations)]))

    def put_away(self) -> None:
        """See Keyboard."""
        desk = self._desk
        if self._composer.complete_state is not None:
            self._composer.cancel_completion()
        elif desk.question is not None:
            desk.question.turn_away()
        elif desk.opened is not None:
            desk.opened = None
        elif desk.said:
            desk.said = ""
        elif not desk.model.put_away() and self._busy is not None:
            self._busy.cancel()
        self._changed()

    def leave(self) -> None:
        """See Keyboard."""
        if self._app.is_running:
            self._app.exit()

    def _key_pressed(self, _: object) -> None:
        if self._desk.opened is None:
            self._do(self._desk.seen())

    def _text_changed(self) -> None:
        desk, text = self._desk, self._composer.text
        messages = desk.model.thread.messages if desk.model.thread else []
        desk.numbers.typed(text, messages)
        if self._draft_due is None:
            self._draft_due = asyncio.get_running_loop().call_later(_DRAFT_S, self._keep_draft)
        if text and not text.startswith("/") and desk.question is None and desk.model.here is not None:
            self._do(desk.here().typing())

    # --- work ---------------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Does what was typed, one line after the other."""
        while True:
            line, self._desk.meant = await self._typed.get()
            self._busy = asyncio.create_task(obey(self._desk, line))
            self._changed()
            await asyncio.wait({self._busy})
            done = not self._busy.cancelled() and self._busy.result()
            if self._busy.cancelled():
                self._desk.tell("Left off.")
            self._busy = None
            if not done and not self._composer.text and _worth_keeping(line):
                self._composer.text = line
                self._composer.cursor_position = len(line)
            self._text_changed()
            self._changed()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that the person need not wait for."""
        task = asyncio.create_task(self._quietly(work))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _quietly(self, work: Coroutine[Any, Any, None]) -> None:
        with suppress(rapport.RapportError):
            await work

    def _draft(self) -> str:
        return "" if self._written_in is None else self._desk.client.conversation(self._written_in).draft

    def _keep_draft(self) -> None:
        """What is being written is in the vault, and on our other devices, whatever happens to this window."""
        self._draft_due = None
        text = "" if self._composer.text.startswith("/") else self._composer.text
        if self._written_in is not None and self._desk.question is None and text != self._draft():
            self._do(self._desk.client.conversation(self._written_in).set_draft(text))

    # --- painting -----------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        self._app.invalidate()

    def _before_render(self) -> None:
        model = self._desk.model
        model.show_rows(rows_of(self._desk))
        settle_decided(self._desk)
        if model.here is not None:
            conversation = self._desk.client.conversation(model.here)
            model.members = tuple(conversation.members)
            model.subtitle = subtitle_of(self._desk.client, conversation)
            look(self._desk, _now_ms())
        if model.here != self._written_in:
            self._keep_draft()
            self._written_in = model.here
            self._composer.text = self._draft()
            self._composer.cursor_position = len(self._composer.text)

    def _thread(self, width: int, height: int) -> list[Line]:
        desk = self._desk
        if desk.model.thread is None:
            return [[("class:text", f" {line}")] for line in wrapped(_WELCOME, width - 2)]
        blocks = self._renderer.blocks(desk.model, width, _now_ms(), desk.numbers.shown)
        lines = desk.scroll.visible(blocks, height)
        if desk.scroll.at_top and not desk.model.thread.complete:
            self._do(desk.older())
        if not lines:
            words = "Nothing has been said here yet." if len(desk.model.members) > 1 else _INVITED
            return [[("class:ghost", f" {line}")] for line in wrapped(words, width - 2)]
        return [[("", "")]] * (height - len(lines)) + lines

    def _sheet(self, width: int, height: int) -> list[Line]:
        return self._desk.opened.visible(width, height) if self._desk.opened else []

    def _said(self, width: int, _height: int) -> list[Line]:
        desk = self._desk
        lines = notice_lines(desk.model, width)
        lines += [[("class:flash", f" {line}")] for line in (wrapped(desk.said, width - 2) if desk.said else [])]
        if desk.question is not None:
            lines += [[("class:question", f" {line}")] for line in wrapped(desk.question.text, width - 2)]
        return lines

    def _edge(self, width: int, _height: int) -> list[Line]:
        """The line above the composer: who is writing, or what is out of sight."""
        desk, now_ms = self._desk, _now_ms()
        words = typing_words(desk.model, now_ms)
        if words:
            asyncio.get_running_loop().call_later(1.0, self._changed)
        elif self._busy is not None and desk.question is None:
            words = "at work … (Esc leaves off)"
        elif not desk.scroll.at_end and desk.opened is None:
            words = "earlier messages; End goes back"
        elif width < LIST_FROM:
            words = elsewhere_words(desk.model)
        return [[("class:rule", centred(words, width) if words else "─" * width)]]

    def _status(self, width: int, _height: int) -> list[Line]:
        """Under the composer: door and promise, then the connection or a hint."""
        model = self._desk.model
        return [*promise_lines(model, width), *status_lines(model, width, HINT if width >= LIST_FROM else SHORT_HINT)]

    def _prompt(self) -> str:
        return "? " if self._desk.question is not None else "> "


def _worth_keeping(line: str) -> bool:
    """Whether it is more than a command that is quickly typed again."""
    return not line.startswith("/") or len(line.split()) > _QUICKLY_TYPED


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
