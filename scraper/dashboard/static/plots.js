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

  const draw = (place) => {
    const old = made.get(place);
    if (old) for (const each of old.plots) each.destroy();
    const data = old ? old.data : JSON.parse(place.dataset.plots);
    place.replaceChildren();
    const sync = uPlot.sync(place.id || "plots");
    const plots = data.plots.map((each) => {
      const box = document.createElement("div");
      box.className = `plot ${each.kind}`;
      const head = document.createElement("h3"), said = document.createElement("output");
      head.textContent = each.unit ? `${each.title}, ${each.unit}` : each.title;
      head.append(said);
      box.append(head);
      probe(box);
      place.append(box);
      const ink = colour(box, "ink"), axis = { stroke: colour(box, "axis"), grid: { stroke: colour(box, "rule"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
      return new uPlot({
        width: box.clientWidth - 24, height: 150, legend: { show: false },
        tzDate: (second) => { try { return uPlot.tzDate(new Date(second * 1000), data.zone); } catch { return new Date(second * 1000); } },
        cursor: { sync: { key: sync.key }, y: false, points: { size: 6 } },
        scales: { y: { range: (_, low, high) => [Math.min(0, low || 0), Math.max(1, (high || 0) * 1.05)] } },
        axes: [{ ...axis, space: 70, size: 28 }, { ...axis, size: 46, values: (_, all) => all.map(short) }],
        series: [{}, { stroke: ink, width: 1.5, fill: ink.replace("rgb(", "rgba(").replace(")", ", .1)"), points: { show: data.x.length < 40, size: 4, fill: ink } }],
        hooks: { setCursor: [(plot) => { const at = plot.cursor.idx; said.textContent = at == null ? "" : short(plot.data[1][at]); }] },
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
