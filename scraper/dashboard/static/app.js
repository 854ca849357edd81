// What all pages do with JavaScript: keys, colours at once, times that stay true, lists that follow the news.
"use strict";
(() => {
  const away = (at, now) => {
    const seconds = Math.abs(now - at);
    if (seconds < 5) return "now";
    const [unit, word] = seconds < 90 ? [1, "s"] : seconds < 5400 ? [60, "min"] : seconds < 172800 ? [3600, "h"] : [86400, "days"];
    const text = `${Math.round(seconds / unit)} ${word}`;
    return at < now ? `${text} ago` : `in ${text}`;
  };
  const tick = () => {
    const now = Date.now() / 1000;
    for (const each of document.querySelectorAll(".ago[data-at]")) {
      const text = away(Number(each.dataset.at), now);
      if (each.textContent !== text) each.textContent = text;
    }
  };
  setInterval(tick, 5000);

  // What was just done is told once, not again when the page is loaded again.
  const here = new URL(location.href);
  if (here.searchParams.has("done")) { here.searchParams.delete("done"); history.replaceState(history.state, "", here); }

  const theme = document.getElementById("theme");
  if (theme) theme.addEventListener("change", () => {
    if (theme.value) document.documentElement.dataset.theme = theme.value;
    else delete document.documentElement.dataset.theme;
    document.dispatchEvent(new Event("colours"));
    // by the form, so that the server keeps it; the page stays
    fetch("/theme", { method: "POST", body: new URLSearchParams(new FormData(theme.form)), redirect: "manual" });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("colours")));

  const dialog = document.getElementById("keys");
  const help = () => { if (dialog && !dialog.open) dialog.showModal(); };
  const link = document.querySelector(".tools .keys");
  if (link && dialog) link.addEventListener("click", (event) => { event.preventDefault(); help(); });
  const places = { j: "/", r: "/runs", a: "/alerts", s: "/settings" };
  let went = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const at = event.target;
    if (at instanceof Element && at.closest("input, textarea, select, [contenteditable]")) return;
    if (dialog && dialog.open) return;
    if (event.key === "?") { event.preventDefault(); help(); }
    else if (event.key === "/") {
      const field = document.querySelector("input[type=search]");
      if (field) { event.preventDefault(); field.focus(); field.select(); }
    } else if (event.key === "g") went = event.timeStamp;
    else if (went && event.timeStamp - went < 1500 && Object.hasOwn(places, event.key) && dialog) location.href = places[event.key];
    if (event.key !== "g" && event.key !== "Shift") went = 0;
  });

  // A form is sent once.
  document.addEventListener("submit", (event) => {
    if (event.target.method === "post") for (const each of event.target.querySelectorAll("button")) setTimeout(() => { each.disabled = true; });
  });
  addEventListener("pageshow", () => { for (const each of document.querySelectorAll("form button[disabled]")) each.disabled = false; });

  // Lists are loaded again when something has happened, at most every two seconds, and not under somebody's hands.
  const live = () => document.getElementById("live");
  if (document.body.dataset.news !== undefined && live() && window.htmx && window.EventSource) {
    let waiting = 0, last = 0;
    const load = () => {
      const at = live();
      waiting = 0;
      if (document.hidden || at.contains(document.activeElement) || at.querySelector("details[open]")) { waiting = setTimeout(load, 2000); return; }
      last = Date.now();
      htmx.ajax("GET", at.dataset.get, { source: at, target: at, select: "#live", swap: "outerHTML" });
    };
    const told = () => { if (!waiting) waiting = setTimeout(load, Math.max(200, last + 2000 - Date.now())); };
    const source = new EventSource("/events");
    for (const kind of ["run", "job"]) source.addEventListener(kind, told);
    addEventListener("pagehide", () => source.close());
  }
})();
