// What htmx leaves to do: drawing cards after each change of the page, flipping, clocks, and the state of the connection.
import {draw} from "/cards.js";

const flipped = new Set();
const seen = new Set();
let run = null;
let started = false;

function drawAll(root) {
  draw(root);
  for (const flipper of root.querySelectorAll("[data-flipper]")) flip(flipper, flipped.has(flipper.dataset.flipper));
  for (const time of root.querySelectorAll("time")) {
    time.textContent = new Date(time.dateTime).toLocaleTimeString("en-GB");
  }
  for (const part of root.querySelectorAll("[data-line], [data-note]")) {
    const key = part.dataset.line ?? `${part.closest("[data-phone]").dataset.phone} ${part.dataset.note}`;
    part.classList.toggle("new", started && !seen.has(key));
    seen.add(key);
  }
  tick(root);
}

function tick(root) {
  const now = new Date();
  for (const clock of root.querySelectorAll("[data-clock]")) {
    clock.textContent = now.toLocaleTimeString("en-GB", {hour: "numeric", minute: "2-digit"});
  }
  for (const date of root.querySelectorAll("[data-date]")) {
    const language = date.closest("[lang]").lang;
    date.textContent = now.toLocaleDateString(language, {weekday: "long", day: "numeric", month: "long"});
  }
}

function flip(flipper, back) {
  flipper.classList.toggle("flipped", back);
  flipper.querySelector(".front-face").toggleAttribute("inert", back);
  flipper.querySelector(".back-face").toggleAttribute("inert", !back);
  const button = document.querySelector(`[data-flip="${flipper.dataset.flipper}"]`);
  button?.setAttribute("aria-pressed", String(back));
}

function isDirty() {
  return [...document.querySelectorAll("#item-form input[data-key]")].some((input) => input.value !== input.defaultValue);
}

function showState(text, connected) {
  document.body.classList.toggle("disconnected", !connected);
  document.getElementById("state-text").textContent = text;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-flip], [data-reload], [data-dismiss]");
  if (button?.dataset.flip) {
    const number = button.dataset.flip;
    if (!flipped.delete(number)) flipped.add(number);
    for (const flipper of document.querySelectorAll(`[data-flipper="${number}"]`)) flip(flipper, flipped.has(number));
  } else if (button && "reload" in button.dataset) {
    document.getElementById("item-form").reset();
    htmx.trigger("#item", "refresh");
  }
});

document.body.addEventListener("htmx:beforeSwap", (event) => {
  // An answer for an item that is being edited must not replace what was typed.
  const {target, requestConfig, xhr} = event.detail;
  const asked = requestConfig.elt;
  if (target.id === "item" && asked.id === "item" && isDirty() && xhr.status === 200) {
    event.detail.shouldSwap = false;
    document.getElementById("stale").hidden = false;
  }
});
document.body.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.elt.id === "item-form" && event.detail.successful && !document.querySelector("#message .problem")) {
    for (const input of document.querySelectorAll("#item-form input[data-key]")) input.defaultValue = input.value;
    htmx.trigger("#item", "refresh");
  }
});
document.body.addEventListener("htmx:sendError", () => showState("Not connected: is the local run up?", false));
document.body.addEventListener("htmx:afterSettle", (event) => drawAll(event.detail.elt));

document.body.addEventListener("htmx:sseOpen", () => showState("Live", true));
document.body.addEventListener("htmx:sseError", () => showState("Not connected: is the local run up?", false));
document.body.addEventListener("htmx:sseBeforeMessage", (event) => {
  // The first event of each connection names the process: after a restart everything is new, after a break it may be.
  const {type, data} = event.detail;
  if (type !== "run") return;
  if (run !== null && run !== data) location.reload();
  else if (run !== null) for (const part of ["#phones", "#item", "#faults", "#timeline"]) htmx.trigger(part, "refresh");
  run = data;
});

drawAll(document);
started = true;
setInterval(() => tick(document), 5000);
