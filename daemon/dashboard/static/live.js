// Says whether a live page is connected, and lets go of the connection while nobody sees the page:
// a browser opens only a few to one server.
"use strict";
(() => {
  const status = () => document.getElementById("connection");
  let source = null;
  let lost = false;
  let resuming = false;

  const say = (state, words) => {
    const place = status();
    if (place && (place.dataset.state !== state || place.textContent !== words)) {
      place.dataset.state = state;
      place.textContent = words;
    }
  };

  htmx.createEventSource = (url) => {
    source = new EventSource(url);
    return source;
  };

  document.addEventListener("htmx:sseOpen", () => {
    say("live", lost ? "live again" : "live");
    lost = resuming = false;
  });

  document.addEventListener("htmx:sseError", () => {
    if (document.hidden || resuming) return;
    const now = new Date().toISOString().slice(11, 19);
    if (!lost) say("lost", `connection lost at ${now} UTC; what is shown may be old. Trying again`);
    lost = true;
  });

  document.addEventListener("visibilitychange", () => {
    if (!source) return;
    if (document.hidden) {
      source.close();
    } else if (source.readyState === EventSource.CLOSED) {
      resuming = true;
      // The extension opens a closed source again when it hears of an error.
      source.onerror(new Event("error"));
    }
  });
})();
