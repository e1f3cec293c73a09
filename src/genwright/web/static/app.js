// The frame's behaviour on every page: theme, menu, copying, relative times, keys, drawers, toasts, htmx errors.
// Everything is declared in HTML by data- attributes, so a page needs no script of its own. Text from elsewhere only
// ever enters by textContent.
(() => {
  const root = document.documentElement;
  const $ = (selector, within = document) => within.querySelector(selector);
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
  const genwright = (window.genwright = window.genwright || {});

  genwright.el = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };

  genwright.icon = (name) => {
    const base = $('meta[name="genwright-icons"]').content;
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", "icon");
    svg.setAttribute("aria-hidden", "true");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", `${base}#${name}`);
    svg.append(use);
    return svg;
  };

  // Toasts. From the server: response header HX-Trigger: {"toast": {"message": "…", "tone": "good"}}.
  genwright.toast = (message, tone = "info") => {
    const box = $(".toasts");
    if (!box) return;
    const { el, icon } = genwright;
    const close = el("button", { type: "button", class: "button quiet small icon-only", "aria-label": "Dismiss" }, icon("x"));
    const toast = el("div", { class: `toast ${tone}` }, el("p", {}, String(message)), close);
    close.addEventListener("click", () => toast.remove());
    box.append(toast);
    if (box.matches(":popover-open")) box.hidePopover(); // shown again, it stands above a dialog opened meanwhile
    box.showPopover();
    while (box.children.length > 4) box.firstElementChild.remove();
    if (tone !== "bad") setTimeout(() => toast.remove(), 6000); // errors stay until dismissed
  };
  document.addEventListener("toast", (event) => genwright.toast(event.detail.message, event.detail.tone));

  // Theme.
  const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const showTheme = () => {
    for (const button of $$("[data-theme-toggle]")) {
      const label = isDark() ? "Switch to the light theme" : "Switch to the dark theme";
      button.setAttribute("aria-label", label);
      button.title = label;
      button.replaceChildren(genwright.icon(isDark() ? "sun" : "moon"));
    }
    document.dispatchEvent(new CustomEvent("genwright:theme"));
  };
  const toggleTheme = () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("genwright-theme", root.dataset.theme); } catch { /* not remembered, but switched */ }
    showTheme();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);

  // Menu on small screens.
  const setMenu = (open) => {
    const nav = $("#nav"), button = $("[data-menu]");
    if (!nav || !button) return;
    nav.classList.toggle("open", open);
    button.setAttribute("aria-expanded", String(open));
  };

  // Copying.
  const copy = async (button) => {
    const source = button.dataset.copy || document.getElementById(button.dataset.copyFrom)?.textContent || "";
    try {
      await navigator.clipboard.writeText(source);
    } catch { // no clipboard on plain http: select the text for the person to copy
      const node = document.getElementById(button.dataset.copyFrom);
      if (!node) return genwright.toast("Your browser does not allow copying here.", "warn");
      getSelection().selectAllChildren(node);
      return genwright.toast("Selected. Press Ctrl+C to copy.");
    }
    button.replaceChildren(genwright.icon("check"));
    $("#announce").textContent = "Copied";
    setTimeout(() => button.isConnected && button.replaceChildren(genwright.icon("copy")), 1600);
  };

  // Relative times: the absolute one stays as title.
  const UNITS = [["year", 31536e3], ["month", 2592e3], ["day", 86400], ["hour", 3600], ["minute", 60]];
  const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "narrow" });
  const relative = (date) => {
    const seconds = (date - Date.now()) / 1000;
    for (const [unit, length] of UNITS) if (Math.abs(seconds) >= length) return ago.format(Math.trunc(seconds / length), unit);
    return Math.abs(seconds) < 10 ? "just now" : ago.format(Math.trunc(seconds), "second");
  };
  const showTimes = (within = document) => {
    for (const node of $$("time[data-relative]", within)) node.textContent = relative(new Date(node.dateTime));
  };
  genwright.relative = relative;

  // Dialogs and drawers: <button data-open="id">, <button data-close>; the drawer takes a title and nodes.
  genwright.drawer = (title, ...nodes) => {
    const drawer = $("#drawer");
    $("#drawer-title").textContent = title;
    $("#drawer-body").replaceChildren(...nodes);
    if (!drawer.open) drawer.showModal();
    return $("#drawer-body");
  };

  // Keys.
  const typing = (node) => node.closest?.("input, textarea, select, [contenteditable]");
  let pendingGo = 0;
  const goTo = (key) => $(`.nav [data-go="${CSS.escape(key)}"]`)?.click();
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") setMenu(false);
    if (typing(event.target) || $("dialog[open]")) return;
    if (Date.now() - pendingGo < 1200) {
      pendingGo = 0;
      return goTo(event.key);
    }
    if (event.key === "g") pendingGo = Date.now();
    else if (event.key === "/") { const box = $("[data-search]"); if (box) { event.preventDefault(); box.focus(); box.select(); } }
    else if (event.key === "?") $("#help")?.showModal();
    else if (event.key === "j" || event.key === "k") moveRow(event.key === "j" ? 1 : -1);
  });
  const moveRow = (step) => {
    const links = $$("main .row-link");
    const next = links[Math.min(Math.max(links.indexOf(document.activeElement) + step, 0), links.length - 1)];
    next?.focus();
  };

  document.addEventListener("click", (event) => {
    const target = event.target.closest("button, a, dialog, summary");
    if (!target) return;
    if (target.matches("[data-theme-toggle]")) toggleTheme();
    else if (target.matches("[data-copy], [data-copy-from]")) copy(target);
    else if (target.matches("[data-menu]")) setMenu(target.getAttribute("aria-expanded") !== "true");
    else if (target.matches("[data-open]")) document.getElementById(target.dataset.open)?.showModal();
    else if (target.matches("[data-close]")) target.closest("dialog")?.close();
    else if (target.matches("[data-cite]") && !target.closest("[data-chat]")) document.getElementById(`passage-${target.dataset.cite}`)?.scrollIntoView({ behavior: "smooth", block: "center" });
    else if (target.matches("[data-back]")) { event.preventDefault(); history.back(); }
    else if (target.matches("dialog") && event.target === target) target.close(); // the backdrop
  });

  // Filters apply themselves: <form data-auto-submit> is sent when a select or checkbox changes.
  document.addEventListener("change", (event) => event.target.matches("select, [type=checkbox], [type=date]") && event.target.form?.matches("[data-auto-submit]") && event.target.form.requestSubmit());

  // A form that is on its way cannot be sent twice, and says that it is at work; coming back to the page ends that.
  const atWork = (form, yes) => $$("button:not([type=button])", form).forEach((button) => { button.disabled = yes; button.toggleAttribute("aria-busy", yes); });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method === "post" && !form.hasAttribute("hx-post")) setTimeout(() => event.defaultPrevented || atWork(form, true));
  });
  window.addEventListener("pageshow", (event) => event.persisted && $$("form").forEach((form) => atWork(form, false)));

  // What every new piece of page needs.
  const prepare = (within = document) => {
    showTimes(within);
    for (const table of $$("table.stacking", within)) {
      const heads = $$("thead th", table).map((th) => th.textContent.trim());
      for (const row of $$("tbody tr", table)) [...row.cells].forEach((cell, at) => heads[at] && (cell.dataset.label ??= heads[at]));
    }
    for (const node of $$("[data-markdown]", within)) genwright.markdown?.(node, node.textContent);
    genwright.charts?.(within);
  };
  genwright.prepare = prepare;
  document.addEventListener("htmx:after:settle", () => prepare());

  // A session that has ended: the door redirects to the sign-in page, which must not land inside a part of this page.
  document.addEventListener("htmx:before:response", (event) => {
    const { raw } = event.detail.ctx.response;
    if (!raw.redirected || new URL(raw.url).pathname !== "/login") return;
    event.preventDefault();
    location.reload();
  });

  // htmx: failed requests say so instead of replacing the page (422 is a form with its errors: that one is swapped in).
  document.addEventListener("htmx:response:error", (event) => {
    const { response, text } = event.detail.ctx;
    if (response.status === 401) return location.reload();
    if (response.status !== 422) genwright.toast(errorText(text) || `The server answered ${response.status}.`, "bad");
  });
  document.addEventListener("htmx:error", () => genwright.toast("The server could not be reached. Nothing was changed; try again.", "bad"));
  const errorText = (text) => {
    try {
      const body = JSON.parse(text);
      return body.error?.message || body.message || body.detail;
    } catch {
      return $("[data-error-message]", new DOMParser().parseFromString(text || "", "text/html"))?.textContent.trim();
    }
  };
  genwright.errorText = errorText;

  const start = () => { showTheme(); prepare(); setInterval(showTimes, 30000); };
  if (document.readyState === "complete") start(); else document.addEventListener("DOMContentLoaded", start); // after all deferred scripts
})();
