// A small, safe subset of Markdown for answers: paragraphs, headings, lists, quotes, code, bold, italics, citations [1].
// Builds DOM nodes only, never parses HTML. Links are text with their address visible; images are never fetched.
(() => {
  const genwright = (window.genwright = window.genwright || {});
  const el = (tag, attributes, ...children) => genwright.el(tag, attributes, ...children);
  const INLINE = /(`+)([\s\S]+?)\1|\*\*([^*\n]+)\*\*|(?<![\w*])\*([^*\s][^*\n]*)\*(?!\w)|!?\[([^\]\n]+)\]\(([^)\s]+)\)|\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]/g;

  const citation = (number) => {
    const button = el("button", { type: "button", class: "cite", "data-cite": number, "aria-label": `Show source ${number}` });
    button.textContent = number;
    return button;
  };

  const inline = (text) => {
    const nodes = [];
    let last = 0;
    for (const match of text.matchAll(INLINE)) {
      nodes.push(text.slice(last, match.index));
      last = match.index + match[0].length;
      const [, ticks, code, bold, italic, label, address, cites] = match;
      if (ticks) nodes.push(el("code", {}, code));
      else if (bold) nodes.push(el("strong", {}, ...inline(bold)));
      else if (italic) nodes.push(el("em", {}, ...inline(italic)));
      else if (cites) nodes.push(...cites.split(",").map((number) => citation(number.trim())));
      else nodes.push(label, " ", el("span", { class: "address" }, `(${address})`));
    }
    nodes.push(text.slice(last));
    return nodes.filter((node) => node !== "");
  };

  const codeBlock = (text) => {
    const button = el("button", { type: "button", class: "button quiet small icon-only", "aria-label": "Copy code", "data-copy": text }, genwright.icon("copy"));
    return el("div", { class: "code" }, el("pre", { tabindex: "0" }, el("code", {}, text)), button);
  };

  const ITEM = /^\s{0,3}(?:[-*+]|(\d{1,3})[.)])\s+/;
  const SPECIAL = /^\s{0,3}(?:```|~~~|#{1,6}\s|>\s?|[-*+]\s|\d{1,3}[.)]\s)/;

  // Each reader takes the lines and where it starts; gives the node and where the next one starts.
  const readCode = (lines, at) => {
    const fence = lines[at].trim().slice(0, 3);
    let end = at + 1;
    while (end < lines.length && !lines[end].trim().startsWith(fence)) end += 1;
    return [codeBlock(lines.slice(at + 1, end).join("\n")), end + 1];
  };
  const readList = (lines, at) => {
    const number = lines[at].match(ITEM)[1];
    const list = el(number ? "ol" : "ul", number && number !== "1" ? { start: number } : {});
    while (at < lines.length && ITEM.test(lines[at]) && Boolean(lines[at].match(ITEM)[1]) === Boolean(number)) {
      let text = lines[at].replace(ITEM, "");
      for (at += 1; at < lines.length && lines[at].trim() && !SPECIAL.test(lines[at]); at += 1) text += ` ${lines[at].trim()}`;
      list.append(el("li", {}, ...inline(text)));
      while (at + 1 < lines.length && !lines[at].trim() && ITEM.test(lines[at + 1])) at += 1;
    }
    return [list, at];
  };
  const readQuote = (lines, at) => {
    const text = [];
    for (; at < lines.length && /^\s{0,3}>/.test(lines[at]); at += 1) text.push(lines[at].replace(/^\s{0,3}>\s?/, ""));
    return [el("blockquote", {}, ...inline(text.join("\n"))), at];
  };
  const readParagraph = (lines, at) => {
    const text = [lines[at]];
    for (at += 1; at < lines.length && lines[at].trim() && !SPECIAL.test(lines[at]); at += 1) text.push(lines[at]);
    // A line's end is a space; two spaces or a backslash before it make a real break.
    const paragraph = el("p", {});
    text.join("\n").split(/(?: {2,}|\\)\n/).forEach((line, row) => paragraph.append(...(row ? [el("br", {})] : []), ...inline(line.replace(/\n/g, " "))));
    return [paragraph, at];
  };

  const blocks = (text) => {
    const lines = text.replace(/\r\n?/g, "\n").split("\n"), nodes = [];
    for (let at = 0; at < lines.length; ) {
      const line = lines[at];
      let node;
      if (!line.trim()) { at += 1; continue; }
      if (/^\s{0,3}(```|~~~)/.test(line)) [node, at] = readCode(lines, at);
      else if (/^\s{0,3}#{1,6}\s/.test(line)) { node = el("h4", {}, ...inline(line.replace(/^\s*#+\s+/, ""))); at += 1; }
      else if (ITEM.test(line)) [node, at] = readList(lines, at);
      else if (/^\s{0,3}>/.test(line)) [node, at] = readQuote(lines, at);
      else [node, at] = readParagraph(lines, at);
      nodes.push(node);
    }
    return nodes;
  };

  // Shows `text` in `node`. Text over 200,000 characters is shown plain.
  genwright.markdown = (node, text) => {
    node.removeAttribute("data-markdown");
    if (text.length > 200000) { node.classList.add("plain"); node.textContent = text; return; }
    node.replaceChildren(...blocks(text));
  };
})();
