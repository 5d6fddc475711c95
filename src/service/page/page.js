"use strict";
// The server draws; this only puts what it drew in its place. An answer that is late or refused is told, not hidden.
const beat = document.getElementById("beat");
const REFUSED = 5000, SILENCE = 40000, GONE = 5000;
let stream = null, heard = Date.now(), asks = 0;

// Makes `old` what `now` is and touches nothing that is the same: selection, focus and what is unfolded stay, and
// live regions speak of what changed.
function become(old, now) {
  if (old.isEqualNode(now)) return;
  if (old.nodeName !== now.nodeName) return old.replaceWith(document.importNode(now, true));
  if (old.nodeType === Node.TEXT_NODE) { old.data = now.data; return; }
  for (const { name } of [...old.attributes])
    if (name !== "open" && !now.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of now.attributes)
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const before = [...old.childNodes], after = [...now.childNodes];
  after.forEach((child, n) =>
    n < before.length ? become(before[n], child) : old.append(document.importNode(child, true)));
  before.slice(after.length).forEach(child => child.remove());
}

function show(html) {
  const now = new DOMParser().parseFromString(html, "text/html").getElementById("live");
  if (!now) return;
  become(document.getElementById("live"), now);
  document.title = now.dataset.title;
}

function tell(text, lost) {
  if (beat.textContent !== text) beat.textContent = text;
  beat.className = lost ? "lost" : "";
}

function hear(how) {
  heard = Date.now();
  tell(how, false);
}

function listen() {
  stream = new EventSource("/events");
  stream.onmessage = event => { show(event.data); hear("Live"); };
  stream.addEventListener("beat", () => hear("Live"));
  stream.onerror = () => { if (stream.readyState === EventSource.CLOSED) ask(); };
}

// Where there is no room for another stream.
async function ask() {
  stream = null;
  try {
    const answer = await fetch("/", { cache: "no-store" });
    if (answer.ok) { show(await answer.text()); hear("Asked every 5 s"); }
  } catch { /* nobody is there: told below */ }
  if (!document.hidden && !stream) setTimeout(() => { if (!stream) ++asks % 12 ? ask() : listen(); }, REFUSED);
}

setInterval(() => {
  const silent = Date.now() - heard, open = stream && stream.readyState === EventSource.OPEN;
  if (document.hidden || silent < (open ? SILENCE : GONE + REFUSED)) return;
  tell("No answer since " + new Date(heard).toLocaleTimeString() + ": this is how it was then", true);
  if (open) { stream.close(); listen(); }
}, 1000);

// Nothing is drawn for a tab that nobody sees.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) { if (stream) stream.close(); stream = null; }
  else if (!stream) { heard = Date.now(); listen(); }
});
if (!document.hidden) listen();
