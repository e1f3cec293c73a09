// Live traffic: rows of calls as they end, newest first, by server-sent events. Declared by <div data-live="address">.
// The server sends few rows however many calls there are; here the table is cut at MOST rows, and nothing is drawn while hidden.
(() => {
  const MOST = 200;
  const box = document.querySelector("[data-live]");
  if (!box) return;
  const { el } = window.genwright;
  const body = box.querySelector("tbody"), empty = box.querySelector("[data-live-empty]"), frame = box.querySelector(".table-wrap");
  const state = document.getElementById("live-state"), button = document.querySelector("[data-live-pause]");
  const tones = { ok: "good", cached: "info", cancelled: "warn", blocked: "bad" };
  let paused = false, seen = 0, missed = 0, lately = [], connected = false;

  const money = (nano) => {
    if (nano === null) return "–";
    const dollars = nano / 1e9;
    if (dollars === 0) return "$0";
    return dollars >= 1 ? `$${dollars.toFixed(2)}` : `$${dollars.toFixed(Math.min(9, 2 - Math.floor(Math.log10(dollars)))).replace(/0+$/, "").replace(/\.$/, "")}`;
  };
  const duration = (ms) => (ms < 10 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s`);
  const time = (ns) => {
    const at = new Date(ns / 1e6);
    const node = el("time", { datetime: at.toISOString(), title: at.toISOString() });
    node.textContent = at.toLocaleTimeString("en", { hour12: false });
    return node;
  };
  const cell = (label, kind, ...nodes) => el("td", { class: kind, "data-label": label }, ...nodes);
  const line = (row) => el("tr", { class: "linked" },
    cell("Ended", "tight", time(row.at_ns)),
    cell("Model", "lead-cell wrap-anywhere", el("a", { class: "row-link", href: box.dataset.traces + encodeURIComponent(row.trace) }, row.model)),
    cell("Status", "", el("span", { class: `pill ${tones[row.status] || "bad"}` }, row.status)),
    cell("App or route", "wrap-anywhere", row.what || "–"),
    cell("Key", "wrap-anywhere", row.key),
    cell("Tokens", "num", row.tokens),
    cell("Cost", "num", money(row.nano_usd)),
    cell("Time", "num", duration(row.ms)));

  const say = () => {
    const now = Date.now();
    lately = lately.filter(([at]) => now - at < 5000);
    const rate = lately.reduce((sum, [, count]) => sum + count, 0) / 5;
    const parts = [connected ? (paused ? "paused" : "live") : "not connected, trying again", `${seen.toLocaleString("en")} calls`];
    if (rate) parts.push(`${rate >= 10 ? Math.round(rate) : rate.toFixed(1)} a second`);
    if (missed) parts.push(`${missed.toLocaleString("en")} not listed`);
    state.textContent = parts.join(" · ");
  };

  const take = (event) => {
    const data = JSON.parse(event.data);
    seen += data.seen;
    lately.push([Date.now(), data.seen]);
    const rows = paused || document.hidden ? [] : data.rows;
    missed += data.unlisted + data.rows.length - rows.length;
    if (rows.length) {
      body.prepend(...rows.map(line));
      while (body.rows.length > MOST) body.lastElementChild.remove();
      show();
    }
    say();
  };
  const show = () => { frame.hidden = !body.rows.length; empty.hidden = !!body.rows.length; };

  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    button.lastChild.textContent = paused ? "Go on" : "Pause";
    say();
  });
  const source = new EventSource(box.dataset.live);
  source.addEventListener("open", () => { connected = true; say(); });
  source.addEventListener("error", () => { connected = false; say(); });
  source.addEventListener("message", take);
  addEventListener("pagehide", () => source.close());
  setInterval(say, 1000);
  show();
  say();
})();
