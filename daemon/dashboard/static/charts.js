// Draws each [data-chart] from the JSON at its address, in the colours of the page, and again when these or its data change.
"use strict";
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const NAMES = ["--accent", "--quiet"];

  const marks = (list) => ({
    hooks: {
      draw: [(plot) => {
        const { ctx, bbox } = plot;
        ctx.save();
        ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
        list.forEach((mark, at) => {
          const x = plot.valToPos(mark.at, "x", true);
          if (x < bbox.left || x > bbox.left + bbox.width) return;
          ctx.strokeStyle = ctx.fillStyle = colour(mark.kind === "rollback" ? "--bad" : "--link");
          ctx.lineWidth = devicePixelRatio;
          ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
          const right = x > bbox.left + 0.85 * bbox.width;
          ctx.textAlign = right ? "right" : "left";
          ctx.fillText(mark.text, x + (right ? -4 : 4) * devicePixelRatio, bbox.top + (12 + 13 * (at % 3)) * devicePixelRatio);
        });
        ctx.restore();
      }],
    },
  });

  // Hours of one or two days, else days; both in UTC.
  const times = (_plot, splits) => {
    const days = splits[splits.length - 1] - splits[0] > 172800;
    return splits.map((at, place) => {
      const [day, hour] = [new Date(at * 1000).toISOString().slice(0, 10), new Date(at * 1000).toISOString().slice(11, 16)];
      return days ? day : place && hour !== "00:00" ? hour : `${hour}\n${day}`;
    });
  };

  const options = (place, told) => ({
    width: place.clientWidth,
    height: 240,
    plugins: [marks(told.marks)],
    scales: { x: { time: told.time } },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { y: false },
    axes: [0, 1].map((side) => ({
      stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 },
      ...(side ? { size: 56 } : { space: 80, ...(told.time ? { values: times } : {}) }),
    })),
    series: [
      {
        label: told.time ? "time (UTC)" : "step",
        ...(told.time ? { value: (_plot, at) => (at ? new Date(at * 1000).toISOString().slice(0, 16).replace("T", " ") : "–") } : {}),
      },
      ...told.series.map((label, at) => ({
        label, stroke: colour(NAMES[at]), width: 2, dash: at ? [5, 4] : [], points: { show: true, size: 6 },
        value: (_plot, value) => (value === null || value === undefined ? "–" : value.toPrecision(4)),
      })),
    ],
  });

  const drawn = new Map();
  const draw = (place, told) => {
    drawn.get(place)?.plot.destroy();
    drawn.delete(place);
    place.replaceChildren();
    if (!told.x.length) {
      place.textContent = "Nothing to draw yet, or its history is gone.";
      place.classList.add("quiet");
      return;
    }
    drawn.set(place, { told, plot: new uPlot(options(place, told), [told.x, ...told.y], place) });
  };

  const load = async (place) => {
    const answer = await fetch(place.dataset.chart, { credentials: "same-origin" });
    if (answer.ok) draw(place, await answer.json());
  };

  // Pieces that the page did not wait for; the server has escaped what strangers wrote.
  document.querySelectorAll("[data-part]").forEach(async (place) => {
    const answer = await fetch(place.dataset.part, { credentials: "same-origin" });
    if (answer.ok) place.innerHTML = await answer.text();
    else place.textContent = "This part cannot be shown now.";
  });

  const places = [...document.querySelectorAll("[data-chart]")];
  places.forEach(load);
  // Of a copy: what is drawn anew joins the end.
  const redraw = () => [...drawn].forEach(([place, { told }]) => draw(place, told));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) drawn.forEach(({ plot }, place) => plot.setSize({ width: place.clientWidth, height: 240 }));
    width = innerWidth;
  });
  document.addEventListener("htmx:sseMessage", (event) => {
    places.filter((place) => place.dataset.follows === event.detail.type).forEach(load);
  });
})();
