// A run while it goes: its events change numbers, plots, errors, items, log. All text is set as text.
"use strict";
(() => {
  const root = document.querySelector("[data-run]");
  if (!root || !window.EventSource) return;
  const MOST = { items: 50, log: 200 };
  const by = (id) => document.getElementById(id);
  const number = (value) => Number(value || 0).toLocaleString("en");
  const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;
  const visible = (text) => String(text).replace(UNSEEN, (c) => { const at = c.codePointAt(0); return at < 256 ? `\\x${at.toString(16).padStart(2, "0")}` : at < 65536 ? `\\u${at.toString(16).padStart(4, "0")}` : `\\U${at.toString(16).padStart(8, "0")}`; });
  const shown = (value) => { const text = typeof value === "string" ? value : JSON.stringify(value); return visible(text.length > 120 ? `${text.slice(0, 119)}…` : text); };
  const make = (name, kind, text) => { const made = document.createElement(name); if (kind) made.className = kind; if (text !== undefined) made.textContent = text; return made; };
  const set = (id, text) => { const at = by(id); if (at && at.textContent !== text) at.textContent = text; };
  const gone = (id) => { const at = by(id); if (at) at.remove(); };
  let zone;
  try { zone = new Intl.DateTimeFormat("sv", { timeZone: root.dataset.zone, dateStyle: "short", timeStyle: "medium" }); }
  catch { zone = new Intl.DateTimeFormat("sv", { timeZone: "UTC", dateStyle: "short", timeStyle: "medium" }); }

  let before = null;
  const moment = (data) => {
    if (state === "queued") { again(); return; }
    set("n-pages", number(data.pages)); set("n-items", number(data.items)); set("n-failed", number(data.failed));
    set("n-queued", number(data.queued)); set("n-hosts", number(data.hosts));
    let rate = 0;
    if (before && data.at > before.at) { rate = Math.max(0, ((data.pages || 0) - (before.pages || 0)) / (data.at - before.at)); set("n-rate", rate.toFixed(1)); }
    if (!before || data.at > before.at) before = data;
    const place = by("plots");
    if (place && window.plots) plots.add(place, data.at, [Math.round(rate * 100) / 100, data.queued || 0, data.failed || 0]);
    kinds(data.reasons || {});
  };
  const kinds = (reasons) => {
    const rows = [];
    for (const [name, many] of Object.entries(reasons)) {
      const [end, reason] = name.split(":");
      if (!["failed", "retry", "dropped"].includes(end)) continue;
      rows.push([end, reason, many]);
    }
    rows.sort((a, b) => (b[0] === "failed") - (a[0] === "failed") || b[2] - a[2]);
    if (rows.length) gone("no-kinds");
    by("kinds").replaceChildren(...rows.map(([end, reason, many]) => { const row = make("tr"); row.append(make("td", "", visible(reason).replaceAll("_", " ")), make("td", "note", visible(end)), make("td", "n", number(many))); return row; }));
  };
  // What a stream begins with may be on the page already.
  const plain = (each) => each.textContent.replace(/\s+/g, "");
  const known = (list, row) => performance.now() - opened < 1500 && [...list.children].some((each) => plain(each) === plain(row));
  const item = (data) => {
    gone("no-items");
    const row = make("li", "fresh");
    for (const [name, value] of Object.entries(data && typeof data === "object" ? data : { value: data })) { const pair = make("span", "pair"); pair.append(make("b", "", visible(name)), ` ${shown(value)}`); row.append(pair, " "); }
    const list = by("items");
    if (known(list, row)) return;
    list.prepend(row);
    while (list.childElementCount > MOST.items) list.lastElementChild.remove();
  };
  const line = (data) => {
    gone("no-log");
    const row = make("tr", ["debug", "info", "warning", "error", "critical"].includes(data.level) ? data.level : ""), message = make("td", "message", visible(data.message || ""));
    if (data.trace) message.append(make("pre", "trace", visible(data.trace)));
    row.append(make("td", "at", data.time ? zone.format(new Date(data.time * 1000)) : ""), make("td", "level", visible(data.level || "")), message);
    const body = by("log"), box = body.closest(".logbox"), end = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    if (known(body, row)) return;
    body.append(row);
    while (body.childElementCount > MOST.log) body.firstElementChild.remove();
    if (end) box.scrollTop = box.scrollHeight;
  };
  const box = document.querySelector(".logbox");
  if (box) box.scrollTop = box.scrollHeight;

  let source, opened = Infinity, left = false;
  let state = document.querySelector("#state .state");
  state = state ? state.classList[1] : "";
  const again = () => { left = true; source.close(); location.reload(); };
  const listen = () => {
    source = new EventSource(`/events?run=${root.dataset.run}`);
    source.addEventListener("open", () => { opened = performance.now(); });
    for (const [kind, show] of [["item", item], ["log", line], ["moment", moment]]) source.addEventListener(kind, (event) => show(JSON.parse(event.data)));
    source.addEventListener("run", (event) => {
      const run = JSON.parse(event.data);
      if (state === "queued" && run.state === "running") again();
      state = run.state;
    });
    source.addEventListener("end", again);
    source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED && !left) setTimeout(look, 1000); });
  };
  // The stream was refused: the run may have ended before it began, or too many listen.
  const look = async () => {
    const answer = await fetch(`/api/v1/runs/${root.dataset.run}`).catch(() => null);
    if (left) return;
    if (answer && (answer.status === 401 || (answer.ok && !["queued", "running"].includes((await answer.json()).run.state)))) again();
    else setTimeout(listen, 10000);
  };
  listen();
  addEventListener("pagehide", () => { left = true; source.close(); });
  // back from the cache of the browser: what is shown is old
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
})();
