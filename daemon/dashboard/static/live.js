// Says whether a live page is connected, and lets go of the connection while nobody sees the page:
// a browser opens only a few to one server.
"use strict";
(() => {
  const status = () => document.getElementById("connection");
  let source = null;
  let lost = false;
  // The connection has ended as it was meant to; the error that tells of it is no news.
  let meant = false;
  // It has ended, and the browser has not yet failed to make it again.
  let ended = false;

  const say = (state, words, link) => {
    const place = status();
    if (place && (place.dataset.state !== state || place.textContent !== words)) {
      place.dataset.state = state;
      place.textContent = words;
      if (link) {
        const anchor = document.createElement("a");
        anchor.href = link;
        anchor.textContent = words;
        place.replaceChildren(anchor);
      }
    }
  };

  const sayLost = () => {
    const now = new Date().toISOString().slice(11, 19);
    if (!lost) say("lost", `connection lost at ${now} UTC; what is shown may be old. Trying again`);
    lost = true;
  };

  // A stream does not tell its page why the server refuses it.
  const askWhy = async (url) => {
    let code = 0;
    try {
      code = (await fetch(url, { method: "HEAD" })).status;
    } catch {
      // Nobody answers.
    }
    if (code === 401) {
      const onward = encodeURIComponent(location.pathname + location.search);
      say("lost", "signed out; sign in again", `/ui/sign-in?next=${onward}`);
    } else {
      sayLost();
    }
  };

  htmx.createEventSource = (url) => {
    source = new EventSource(url);
    source.addEventListener("bye", () => {
      meant = true;
    });
    return source;
  };

  document.addEventListener("htmx:sseOpen", () => {
    say("live", lost ? "live again" : "live");
    lost = meant = ended = false;
  });

  document.addEventListener("htmx:sseError", (event) => {
    if (document.hidden) return;
    if (meant) {
      meant = false;
      ended = true;
      return;
    }
    const at = event.detail.source;
    if (at.readyState === EventSource.CLOSED) {
      askWhy(at.url);
    } else if (ended) {
      sayLost();
    }
    ended = true;
  });

  document.addEventListener("visibilitychange", () => {
    if (!source) return;
    if (document.hidden) {
      source.close();
    } else if (source.readyState === EventSource.CLOSED) {
      meant = true;
      // The extension opens a closed source again when it hears of an error.
      source.onerror(new Event("error"));
    }
  });
})();
