// Keeps the status page live: takes the stream of changed fragments and makes ages of times.
"use strict";

(() => {
  const live = document.getElementById("live");
  // The gateway's clock minus this computer's, in milliseconds: ages must not depend on a desk's clock.
  let ahead = Date.parse(document.body.dataset.now) - Date.now();
  let source = null;

  // In the page's language: the browser knows the words.
  const words = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto", style: "short" });
  const age = (seconds) => {
    if (seconds < 5) return words.format(0, "second");
    if (seconds < 60) return words.format(-Math.floor(seconds), "second");
    if (seconds < 3600) return words.format(-Math.floor(seconds / 60), "minute");
    if (seconds < 86400) return words.format(-Math.floor(seconds / 3600), "hour");
    return words.format(-Math.floor(seconds / 86400), "day");
  };

  const tell = (state, text) => {
    live.dataset.state = state;
    // Set only when it changes: screen readers speak it.
    if (live.textContent !== text) live.textContent = text;
  };

  const tick = () => {
    const now = Date.now() + ahead;
    for (const time of document.querySelectorAll("time[data-age]")) {
      const text = age((now - Date.parse(time.dateTime)) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
  };

  const patch = (event) => {
    const { now, fragments } = JSON.parse(event.data);
    ahead = Date.parse(now) - Date.now();
    const template = document.createElement("template");
    for (const { id, html } of fragments) {
      template.innerHTML = html;
      const fresh = template.content.firstElementChild;
      const old = document.getElementById(id);
      if (old && fresh && old.dataset.v !== fresh.dataset.v) old.replaceWith(fresh);
    }
    tick();
    tell("live", document.body.dataset.live);
  };

  const open = () => {
    if (source) return;
    source = new EventSource("/events");
    source.addEventListener("patch", patch);
    source.addEventListener("reload", () => location.reload());
    source.addEventListener("error", () => {
      // A browser keeps trying by itself, except where the answer was an error.
      const given_up = source.readyState === EventSource.CLOSED;
      tell("lost", document.body.dataset.lost);
      if (given_up) {
        source = null;
        setTimeout(open, 5000);
      }
    });
  };

  const close = () => {
    if (source) source.close();
    source = null;
  };

  // A page that nobody looks at gives its stream back.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", () => document.hidden || open());

  tick();
  setInterval(tick, 1000);
  if (!document.hidden) open();
})();
