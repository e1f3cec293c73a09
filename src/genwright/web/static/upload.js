// <form data-upload="/api/…/documents">: sends chosen or dropped files one by one as raw bodies (`?name=`), shows how far it is and
// what became of each. Nothing of a file is read here.
(() => {
  const genwright = (window.genwright = window.genwright || {});
  const { el } = genwright;
  const LISTED = 200;

  const send = async (address, file) => {
    const name = file.webkitRelativePath || file.name;
    const query = new URLSearchParams({ name, media_type: file.type || "" });
    const response = await fetch(`${address}?${query}`, { method: "POST", credentials: "same-origin", body: file, headers: { "content-type": "application/octet-stream" } });
    const text = await response.text();
    if (!response.ok) return { name, ok: false, why: genwright.errorText(text) || `The server answered ${response.status}.` };
    const row = JSON.parse(text);
    return { name, ok: row.state === "ok", why: row.reason };
  };

  const start = (form) => {
    const part = (name) => form.querySelector(`[data-upload-${name}]`);
    const input = form.querySelector("input[type=file]"), drop = form.querySelector(".drop");
    let busy = false;

    const upload = async (files) => {
      if (busy || !files.length) return;
      busy = true;
      input.disabled = true;
      part("list").replaceChildren();
      part("progress").hidden = false;
      part("done").hidden = true;
      const bar = part("progress").querySelector("progress"), counts = { good: 0, bad: 0 };
      bar.max = files.length;
      for (const [at, file] of files.entries()) {
        bar.value = at;
        part("words").textContent = `${at + 1} of ${files.length}: ${file.name}`;
        let result;
        try { result = await send(form.dataset.upload, file); } catch { result = { name: file.name, ok: false, why: "The server could not be reached; try this one again." }; }
        counts[result.ok ? "good" : "bad"] += 1;
        if (!result.ok && counts.bad <= LISTED) part("list").append(el("li", {}, el("span", { class: "pill warn" }, "not taken"), ` ${result.name}: ${result.why}`));
      }
      bar.value = files.length;
      part("words").textContent = `${counts.good} taken in, ${counts.bad} not.`;
      part("done").hidden = false;
      input.disabled = false;
      input.value = "";
      busy = false;
    };

    input.addEventListener("change", () => upload([...input.files]));
    for (const kind of ["dragover", "dragleave", "drop"]) drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop") upload([...event.dataTransfer.files]);
    });
    window.addEventListener("beforeunload", (event) => busy && event.preventDefault());
  };

  const all = () => document.querySelectorAll("[data-upload]").forEach(start);
  if (document.readyState === "complete") all(); else document.addEventListener("DOMContentLoaded", all);
})();
