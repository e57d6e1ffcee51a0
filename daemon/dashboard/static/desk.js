// Keys of the desk. They count only while the focus is inside it and not in a field, so that no other program's keys are taken.
"use strict";
(() => {
  const desk = document.getElementById("desk");
  if (!desk) return;
  const by = (id) => document.getElementById(id);
  // Nothing is asked where a lane is empty; the last answer can be undone all the same.
  const form = by("answer");
  const text = by("text");
  const filter = by("filter");
  const choices = form ? [...form.querySelectorAll("[data-key]")] : [];
  const shown = () => choices.filter((one) => !(one.closest("label") || one).hidden);
  const marks = by("spans") ? marking() : null;

  let sent = false;

  const start = () => (marks ? text : by("item-title") || desk).focus({ preventScroll: true });

  // A key that is held down must not answer the next text.
  if (form) form.addEventListener("submit", () => { sent = true; });

  // A label, whatever its element: a button sends or marks, a box is ticked.
  const choose = (one) => {
    one.click();
    if (one.type === "checkbox") start();
  };

  const typing = (target) =>
    target.matches("textarea, select, input:not([type='checkbox'])") && !(marks && target === text);

  if (filter) {
    filter.closest("label").hidden = false;
    filter.addEventListener("input", () => {
      const wanted = filter.value.trim().toLowerCase();
      for (const one of choices) {
        const box = one.closest("label") || one;
        box.hidden = !box.textContent.toLowerCase().includes(wanted);
      }
    });
    filter.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      const first = shown()[0];
      if (!first || !filter.value.trim()) return;
      filter.value = "";
      filter.dispatchEvent(new Event("input"));
      choose(first);
    });
  }

  desk.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      start();
      return;
    }
    if (sent) {
      event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || typing(event.target)) return;
    if (marks && event.target === text && marks.moved(event)) {
      event.preventDefault();
      return;
    }
    const press = (element, act = "click") => {
      if (!element) return;
      event.preventDefault();
      element[act]();
    };
    if (event.key === "Enter") {
      // On a button or a link Enter presses that one.
      if (!event.target.closest("button, a, summary")) press(by("send"));
    } else if (event.key === "s") press(by("skip"));
    else if (event.key === "c") press(by("cannot-tell"));
    else if (event.key === "u") press(by("undo"));
    else if (event.key === "n") press(by("note"), "focus");
    else if (event.key === "/" && filter) press(filter, "focus");
    else {
      const chosen = choices.find((one) => one.dataset.key && one.dataset.key === event.key);
      if (chosen) {
        event.preventDefault();
        choose(chosen);
      }
    }
  });

  // A page that comes back by the browser's own "back" may be answered again.
  window.addEventListener("pageshow", () => { sent = false; });
  start();
  desk.dataset.ready = "yes";

  // Marks in a text: words are walked and chosen by keys or by mouse, and kept as lines of the field that is sent.
  // Places count code points, as events do; a browser counts UTF-16.
  function marking() {
    const field = by("spans");
    const points = Array.from(text.textContent);
    const content = points.join("");
    const units = [0];
    for (const one of points) units.push(units[units.length - 1] + one.length);
    const pointAt = new Map(units.map((unit, point) => [unit, point]));
    const toPoint = (unit) => pointAt.get(unit) ?? pointAt.get(unit - 1);
    const words = wordsOf(content).map(([from, to]) => [toPoint(from), toPoint(to)]);
    let anchor = 0;
    let focus = 0;

    const spans = () =>
      field.value
        .split("\n")
        .map((line) => /^\s*(\d+)\s*-\s*(\d+)\s+(\S.*?)\s*$/.exec(line))
        .filter(Boolean)
        .map((found) => ({ start: +found[1], end: +found[2], label: found[3] }))
        .filter((one) => one.start < one.end && one.end <= points.length)
        .sort((one, other) => one.start - other.start);

    const keep = (found) => {
      const others = field.value.split("\n").filter((line) => line.trim() && !/^\s*\d+\s*-\s*\d+\s+\S/.test(line));
      const lines = found.sort((one, other) => one.start - other.start).map((one) => `${one.start}-${one.end} ${one.label}`);
      field.value = [...lines, ...others].join("\n");
      draw();
    };

    const draw = () => {
      const pieces = [];
      let at = 0;
      for (const one of spans()) {
        if (one.start < at) continue;
        pieces.push(points.slice(at, one.start).join(""));
        const mark = document.createElement("mark");
        mark.textContent = points.slice(one.start, one.end).join("");
        mark.dataset.label = one.label;
        pieces.push(mark);
        at = one.end;
      }
      text.replaceChildren(...pieces, points.slice(at).join(""));
    };

    const nodes = () => {
      const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
      const found = [];
      for (let node = walker.nextNode(); node; node = walker.nextNode()) found.push(node);
      return found;
    };

    const placeOf = (unit) => {
      let left = unit;
      const all = nodes();
      for (const node of all) {
        if (left <= node.length) return [node, left];
        left -= node.length;
      }
      const last = all[all.length - 1];
      return last ? [last, last.length] : [text, 0];
    };

    const select = (start, end) => {
      const [from, fromAt] = placeOf(units[start]);
      const [to, toAt] = placeOf(units[end]);
      getSelection().setBaseAndExtent(from, fromAt, to, toAt);
      const place = to.parentElement;
      if (place) place.scrollIntoView({ block: "nearest" });
    };

    // The chosen part in code points, without white space at its ends; a caret alone chooses the word that it stands in.
    const chosen = () => {
      const selection = getSelection();
      if (!selection.rangeCount || !text.contains(selection.anchorNode)) return null;
      const range = selection.getRangeAt(0);
      const before = document.createRange();
      before.selectNodeContents(text);
      before.setEnd(range.startContainer, range.startOffset);
      const unit = before.toString().length;
      let start = toPoint(unit);
      let end = toPoint(Math.min(unit + range.toString().length, content.length));
      if (start === end) {
        const word = words.find(([from, to]) => from <= start && start <= to);
        return word || null;
      }
      while (start < end && !points[start].trim()) start += 1;
      while (end > start && !points[end - 1].trim()) end -= 1;
      return start < end ? [start, end] : null;
    };

    const tell = (said) => {
      by("heard").textContent = said;
    };

    const show = () => {
      if (!words.length) return;
      const first = Math.min(anchor, focus);
      const last = Math.max(anchor, focus);
      select(words[first][0], words[last][1]);
      const marked = spans().find((one) => one.start < words[last][1] && words[first][0] < one.end);
      const said = points.slice(words[first][0], words[last][1]).join("");
      tell(`${said}${marked ? `, marked ${marked.label}` : ""}, word ${focus + 1} of ${words.length}`);
    };

    const mark = (label) => {
      const found = chosen();
      if (!found || !label) return;
      const [start, end] = found;
      keep([...spans().filter((one) => one.end <= start || end <= one.start), { start, end, label }]);
      select(start, end);
      tell(`${points.slice(start, end).join("")} is marked ${label}`);
    };

    const remove = () => {
      const found = chosen();
      if (!found) return;
      keep(spans().filter((one) => one.end <= found[0] || found[1] <= one.start));
      select(found[0], found[1]);
      tell("the mark is removed");
    };

    const moved = (event) => {
      const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10, Home: -words.length, End: words.length };
      const rtl = getComputedStyle(text).direction === "rtl" && event.key.match(/Left|Right/) ? -1 : 1;
      if (event.key in steps && words.length) {
        const fresh = getSelection().isCollapsed || !text.contains(getSelection().anchorNode);
        const to = fresh && focus === 0 && steps[event.key] * rtl === 1 ? 0 : focus + steps[event.key] * rtl;
        focus = Math.max(0, Math.min(words.length - 1, to));
        if (!event.shiftKey) anchor = focus;
        show();
        return true;
      }
      if (event.key === "Backspace" || event.key === "Delete") {
        remove();
        return true;
      }
      return false;
    };

    text.addEventListener("mouseup", () => {
      const found = chosen();
      if (!found) return;
      const at = words.findIndex(([from, to]) => from < found[1] && found[0] < to);
      if (at >= 0) anchor = focus = at;
    });
    for (const one of form.querySelectorAll("[data-label]")) {
      // Or the press would take away what is selected.
      one.addEventListener("mousedown", (event) => event.preventDefault());
      one.addEventListener("click", () => mark(one.dataset.label));
    }
    const other = by("other");
    if (other) {
      other.addEventListener("keydown", (event) => {
        if (event.key !== "Enter") return;
        event.preventDefault();
        const label = other.value.trim();
        other.value = "";
        text.focus({ preventScroll: true });
        if (words.length) select(words[Math.min(anchor, focus)][0], words[Math.max(anchor, focus)][1]);
        mark(label);
      });
    }
    field.addEventListener("input", draw);
    draw();
    return { moved };
  }

  function wordsOf(content) {
    if (typeof Intl !== "undefined" && Intl.Segmenter) {
      return [...new Intl.Segmenter(undefined, { granularity: "word" }).segment(content)]
        .filter((one) => one.isWordLike)
        .map((one) => [one.index, one.index + one.segment.length]);
    }
    return [...content.matchAll(/[\p{L}\p{N}\p{M}'’-]+/gu)].map((one) => [one.index, one.index + one[0].length]);
  }
})();
