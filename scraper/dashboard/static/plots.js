// Plots by uPlot, from the numbers in data-plots. The same numbers are in the table below each.
"use strict";
(() => {
  const made = new Map();
  const colour = (box, name) => getComputedStyle(box.querySelector(`.${name}`)).color;
  const probe = (box) => {
    for (const name of ["ink", "axis", "rule"]) {
      const each = document.createElement("i");
      each.className = name;
      each.hidden = true;
      box.append(each);
    }
  };
  const short = (value) => (value == null ? "" : Math.abs(value) >= 10000 ? Intl.NumberFormat("en", { notation: "compact" }).format(value) : String(+value.toFixed(2)));

  // Times on the axis, in the zone of the job: of the day where they are close together, else dates.
  const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000];
  const format = (zone, options) => { try { return new Intl.DateTimeFormat("sv", { timeZone: zone, ...options }); } catch { return new Intl.DateTimeFormat("sv", { timeZone: "UTC", ...options }); } };
  const stamp = (zone, step) => {
    const clock = { hour: "2-digit", minute: "2-digit" };
    const made = format(zone, step >= 86400 ? { month: "2-digit", day: "2-digit" } : step < 60 ? { ...clock, second: "2-digit" } : clock);
    return (second) => made.format(new Date(second * 1000));
  };

  const draw = (place) => {
    const old = made.get(place);
    if (old) for (const each of old.plots) each.destroy();
    const data = old ? old.data : JSON.parse(place.dataset.plots);
    place.replaceChildren();
    const sync = uPlot.sync(place.id || "plots");
    // All boxes first: how wide one is depends on how many there are.
    const boxes = data.plots.map((each) => {
      const box = document.createElement("div"), head = document.createElement("h3"), said = document.createElement("output");
      box.className = `plot ${each.kind}`;
      head.textContent = each.unit ? `${each.title}, ${each.unit}` : each.title;
      head.append(said);
      box.append(head);
      probe(box);
      place.append(box);
      return [box, said];
    });
    const plots = data.plots.map((each, number) => {
      const [box, said] = boxes[number];
      const ink = colour(box, "ink"), axis = { stroke: colour(box, "axis"), grid: { stroke: colour(box, "rule"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
      return new uPlot({
        width: box.clientWidth - 24, height: 150, legend: { show: false }, padding: [8, 26, 0, 0],
        cursor: { sync: { key: sync.key }, y: false, points: { size: 6 } },
        scales: { y: { range: (_, low, high) => [Math.min(0, low || 0), Math.max(1, (high || 0) * 1.05)] } },
        axes: [{ ...axis, space: 80, size: 26, incrs: STEPS, values: (_, all, at, space, step) => all.map(stamp(data.zone, step)) }, { ...axis, size: 46, values: (_, all) => all.map(short) }],
        series: [{}, { stroke: ink, width: 1.5, fill: ink.replace("rgb(", "rgba(").replace(")", ", .1)"), points: { show: data.x.length < 40, size: 4, fill: ink } }],
        hooks: { setCursor: [(plot) => { const at = plot.cursor.idx; said.textContent = at == null ? "" : `${short(plot.data[1][at])} at ${stamp(data.zone, 1)(plot.data[0][at])}`; }] },
      }, [data.x, each.y], box);
    });
    made.set(place, { plots, data });
  };

  const all = () => document.querySelectorAll("[data-plots]");
  const start = () => { for (const place of all()) if (JSON.parse(place.dataset.plots).x.length > 1) draw(place); };
  start();
  document.addEventListener("colours", () => { for (const place of made.keys()) if (place.isConnected) draw(place); });
  document.addEventListener("htmx:afterSwap", () => { for (const place of [...made.keys()]) if (!place.isConnected) { for (const each of made.get(place).plots) each.destroy(); made.delete(place); } start(); });
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; for (const place of made.keys()) draw(place); } });

  window.plots = {
    // Add a point to all plots of a place: x and one y for each.
    add(place, x, ys) {
      const have = made.get(place), data = have ? have.data : JSON.parse(place.dataset.plots);
      if (data.x.length && x <= data.x[data.x.length - 1]) return;
      data.x.push(x);
      data.plots.forEach((each, number) => each.y.push(ys[number]));
      if (data.x.length > 1000) { data.x.shift(); for (const each of data.plots) each.y.shift(); }
      if (have) have.plots.forEach((plot, number) => plot.setData([data.x, data.plots[number].y]));
      else { place.dataset.plots = JSON.stringify(data); if (data.x.length > 1) draw(place); }
    },
  };
})();
