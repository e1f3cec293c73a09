// The chat of an app: posts to /v1/chat/completions, reads the stream, can be stopped, shows sources, takes feedback.
// Declared by the `chat` macro: <section data-chat data-endpoint data-model [data-sources] [data-document]
// [data-trace] [data-feedback]>; `{trace}`, `{n}`, `{document}`, `{start}`, `{end}` in these addresses are replaced. All answer text goes through genwright.markdown (DOM nodes only).
(() => {
  const genwright = window.genwright;
  const { el, icon } = genwright;

  // Yields the data of each server-sent event of a fetch response.
  async function* events(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let buffer = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      buffer = (buffer + value).replace(/\r\n/g, "\n");
      for (let end; (end = buffer.indexOf("\n\n")) >= 0; buffer = buffer.slice(end + 2)) {
        const data = buffer.slice(0, end).split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
        if (data) yield data;
      }
    }
  }
  genwright.events = events;

  const REFUSED = "content_policy_error"; // a guard said no: not a fault, so it does not look like one
  const refusal = (text, status) => {
    let refused = false;
    try { refused = JSON.parse(text).error?.type === REFUSED; } catch { /* not JSON: a fault */ }
    return Object.assign(new Error(genwright.errorText(text) || `The server answered ${status}.`), { refused });
  };

  const button = (name, label, attributes = {}) => el("button", { type: "button", class: "button quiet small icon-only", "aria-label": label, title: label, ...attributes }, icon(name));

  class Chat {
    constructor(section) {
      this.section = section;
      this.options = section.dataset;
      this.log = section.querySelector(".chat-log");
      this.form = section.querySelector("form");
      this.input = section.querySelector("textarea");
      this.stopButton = section.querySelector("[data-stop]");
      this.sendButton = section.querySelector("[data-send]");
      this.messages = [];
      this.session = `web-${Array.from(crypto.getRandomValues(new Uint32Array(3)), (part) => part.toString(36)).join("")}`;
      this.form.addEventListener("submit", (event) => { event.preventDefault(); this.send(this.input.value); });
      this.input.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); this.send(this.input.value); }
      });
      this.stopButton.addEventListener("click", () => this.abort?.abort());
      section.addEventListener("click", (event) => this.clicked(event.target.closest("button")));
    }

    clicked(target) {
      if (!target) return;
      if (target.matches("[data-ask]")) this.send(target.dataset.ask);
      else if (target.matches("[data-new-chat]")) this.reset();
    }

    reset() {
      this.abort?.abort();
      this.messages = [];
      this.log.querySelectorAll(".message").forEach((node) => node.remove());
      this.section.querySelector("[data-greeting]")?.removeAttribute("hidden");
      this.input.focus();
    }

    async send(raw) {
      const text = raw.trim();
      if (!text || this.abort) return;
      this.input.value = "";
      this.section.querySelector("[data-greeting]")?.setAttribute("hidden", "");
      this.bubble("user", "You").text.textContent = text;
      this.messages.push({ role: "user", content: text });
      const answer = this.bubble("assistant", this.options.name || "Assistant");
      answer.node.classList.add("streaming");
      this.busy(new AbortController());
      try {
        await this.ask(answer);
      } catch (error) {
        if (error.name === "AbortError") answer.foot.append("Stopped. ");
        else this.fail(answer, error);
      }
      answer.node.classList.remove("streaming");
      genwright.markdown(answer.text, answer.content);
      if (answer.error) answer.text.append(el("p", { role: "alert" }, answer.error));
      if (answer.content) this.messages.push({ role: "assistant", content: answer.content });
      this.finish(answer);
      this.busy(null);
    }

    async ask(answer) {
      const response = await fetch(this.options.endpoint, {
        method: "POST", credentials: "same-origin", signal: this.abort.signal,
        headers: { "content-type": "application/json", accept: "text/event-stream", "x-genwright-session": this.session },
        body: JSON.stringify({ model: this.options.model, messages: this.messages, stream: true, stream_options: { include_usage: true } }),
      });
      answer.trace = response.headers.get("x-genwright-trace");
      if (!response.ok) throw refusal(await response.text(), response.status);
      for await (const data of events(response)) {
        if (data === "[DONE]") return;
        this.take(answer, JSON.parse(data));
      }
    }

    take(answer, chunk) {
      if (chunk.error) throw Object.assign(new Error(chunk.error.message || "The answer broke off."), { refused: chunk.error.type === REFUSED });
      const choice = chunk.choices?.[0];
      answer.content += choice?.delta?.content || "";
      answer.usage = chunk.usage || answer.usage;
      answer.trace ||= chunk.genwright?.trace;
      answer.sources = chunk.genwright?.passages || answer.sources;
      if (!answer.frame) answer.frame = requestAnimationFrame(() => { // at most one redraw a frame, however fast the stream
        answer.frame = 0;
        if (!answer.node.classList.contains("streaming")) return;
        const following = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 60;
        genwright.markdown(answer.text, answer.content);
        if (following) this.log.scrollTop = this.log.scrollHeight;
      });
    }

    fail(answer, error) {
      answer.node.classList.add(error.refused ? "refused" : "failed");
      answer.error = error.refused ? error.message : `${error.message} Your question is kept above; ask again when you like.`;
    }

    finish(answer) {
      const { foot, trace, content } = answer;
      answer.text.addEventListener("click", (event) => {
        const cite = event.target.closest("[data-cite]");
        if (cite) this.showSource(answer, cite.dataset.cite);
      });
      if (content) foot.append(button("copy", "Copy answer", { "data-copy": content }));
      if (trace && content && this.options.feedback) foot.append(this.feedback(answer));
      if (trace && this.options.trace) foot.append(el("a", { href: this.options.trace.replace("{trace}", trace) }, content ? "Why this answer?" : "What happened?"));
      if (answer.usage) foot.append(el("span", {}, `· ${answer.usage.total_tokens.toLocaleString("en")} tokens`));
      this.log.scrollTop = this.log.scrollHeight;
      document.getElementById("announce").textContent = content ? "Answer complete" : "No answer";
    }

    showSource(answer, number) {
      const source = answer.sources?.find((item) => String(item.n) === number);
      if (source) return genwright.drawer(`Source ${number}`, this.passage(source));
      if (!this.options.sources || !answer.trace) return genwright.toast(`No passage is known for [${number}].`, "warn");
      const body = genwright.drawer(`Source ${number}`, el("p", { class: "muted" }, "Loading the passage …"));
      window.htmx.ajax("GET", this.options.sources.replace("{trace}", answer.trace).replace("{n}", number), { target: body, swap: "innerHTML" });
    }

    passage(source) {
      const title = source.title || source.name || "Passage";
      const address = (this.options.document || "").replace(/\{(document|name|start|end)\}/g, (_, field) => encodeURIComponent(source[field] ?? ""));
      const head = el("header", {}, el("span", { class: "pill info" }, String(source.n)), address ? el("a", { href: address, class: "source" }, title) : el("span", { class: "source" }, title));
      if (source.heading && source.heading !== title) head.append(el("span", { class: "small muted" }, source.heading));
      if (Number.isInteger(source.start)) head.append(el("span", { class: "small muted" }, `characters ${source.start}–${source.end}`));
      return el("article", { class: "passage" }, head, el("blockquote", {}, source.text || ""));
    }

    feedback(answer) {
      const group = el("span", { role: "group", "aria-label": "Was this helpful?" });
      const up = button("thumbs-up", "Good answer", { "aria-pressed": "false" }), down = button("thumbs-down", "Bad answer", { "aria-pressed": "false" });
      for (const [node, value] of [[up, 1], [down, 0]]) node.addEventListener("click", async () => {
        if (!(await this.score(answer, value, ""))) return;
        up.setAttribute("aria-pressed", String(value === 1));
        down.setAttribute("aria-pressed", String(value === 0));
        if (!answer.comment) answer.comment = this.commentForm(answer);
        answer.comment.dataset.value = value;
        answer.comment.querySelector("input").focus();
      });
      group.append(up, down);
      return group;
    }

    commentForm(answer) {
      const input = el("input", { name: "comment", "aria-label": "Comment on this answer", placeholder: "Say why (optional)", maxlength: "2000" });
      const form = el("form", { class: "row" }, input, el("button", { class: "button small" }, "Send comment"));
      form.addEventListener("submit", async (event) => {
        event.preventDefault();
        if (await this.score(answer, Number(form.dataset.value), input.value.trim())) { form.replaceChildren("Thank you."); }
      });
      answer.foot.after(form);
      form.classList.add("foot");
      return form;
    }

    async score(answer, value, comment) {
      try {
        const response = await fetch(this.options.feedback.replace("{trace}", answer.trace), {
          method: "POST", credentials: "same-origin", headers: { "content-type": "application/json" },
          body: JSON.stringify({ name: "feedback", value, source: "user", comment }),
        });
        if (response.ok) return true;
        genwright.toast(genwright.errorText(await response.text()) || "The feedback was not saved. Try again.", "bad");
      } catch { genwright.toast("The feedback was not saved: the server could not be reached. Try again.", "bad"); }
      return false;
    }

    bubble(role, name) {
      const text = el("div", { class: role === "user" ? "text plain" : "text" }), foot = el("div", { class: "foot" });
      const node = el("article", { class: `message ${role}`, "aria-label": name }, el("span", { class: "face", "aria-hidden": "true" }, icon(role === "user" ? "user" : "bot")), el("div", { class: "who" }, name), text);
      if (role !== "user") node.append(foot);
      this.log.append(node);
      this.log.scrollTop = this.log.scrollHeight;
      return { node, text, foot, content: "" };
    }

    busy(abort) {
      this.abort = abort;
      this.stopButton.hidden = !abort;
      this.sendButton.hidden = Boolean(abort);
      this.log.setAttribute("aria-busy", String(Boolean(abort)));
      if (!abort) this.input.focus();
    }
  }

  const start = () => document.querySelectorAll("[data-chat]").forEach((section) => { new Chat(section); });
  if (document.readyState === "complete") start(); else document.addEventListener("DOMContentLoaded", start); // after all deferred scripts
})();
