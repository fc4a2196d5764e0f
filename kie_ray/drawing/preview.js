"use strict";
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// Index: filter the cards by what they show.
const search = document.getElementById("search");
if (search) {
  const count = document.getElementById("count");
  const cards = $$(".cards > li");
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      card.hidden = !words.every((word) => card.dataset.text.includes(word));
      shown += card.hidden ? 0 : 1;
    }
    count.textContent = words.length ? `${shown} of ${cards.length} pages` : "";
  };
  // The search stands in the address, so that going back to the index keeps it.
  const restore = () => {
    search.value = decodeURIComponent((location.hash.match(/^#find=(.*)$/) || ["", ""])[1]);
    filter();
  };
  search.hidden = false;
  search.addEventListener("input", () => {
    filter();
    history.replaceState(null, "", search.value ? `#find=${encodeURIComponent(search.value)}` : location.pathname);
  });
  addEventListener("hashchange", restore);
  restore();
}

// Page: a row of a table and its boxes on the picture light up together.
const svg = document.querySelector(".canvas svg");
if (svg) {
  const frame = document.querySelector(".frame");
  const rows = $$("tr[data-lines]");
  const shapes = new Map($$(".shape", svg).map((shape) => [shape.dataset.line, shape]));
  const linesOf = (row) => row.dataset.lines.split(" ");
  let pinned = null;

  const show = (lines, chosenRows) => {
    const wanted = new Set(lines);
    svg.classList.toggle("busy", wanted.size > 0);
    for (const [line, shape] of shapes) shape.classList.toggle("on", wanted.has(line));
    for (const link of $$(".link", svg)) {
      link.classList.toggle("on", wanted.has(link.dataset.key) && wanted.has(link.dataset.value));
    }
    for (const row of rows) {
      row.classList.toggle("on", chosenRows.includes(row));
      row.classList.toggle("pinned", row === pinned);
    }
  };
  const rest = () => (pinned ? show(linesOf(pinned), [pinned]) : show([], []));
  const rowsWith = (line) => rows.filter((row) => linesOf(row).includes(line));
  const reveal = (lines) => {
    const shape = lines.map((line) => shapes.get(line)).find(Boolean);
    if (!shape) return;
    const box = shape.getBoundingClientRect();
    const view = frame.getBoundingClientRect();
    if (box.top < view.top || box.bottom > view.bottom) frame.scrollTop += box.top - view.top - view.height / 3;
    if (box.left < view.left || box.right > view.right) frame.scrollLeft += box.left - view.left - view.width / 3;
  };
  const pin = (row) => {
    pinned = pinned === row ? null : row;
    rest();
    if (pinned) reveal(linesOf(row));
    history.replaceState(null, "", pinned ? `#${row.id}` : location.pathname);
  };
  // The address of a row (#field-3, #line-12) shows it: people send each other such links.
  const follow = () => {
    const row = rows.find((candidate) => `#${candidate.id}` === location.hash);
    if (!row) return;
    row.closest("details").open = true;
    pinned = null;
    pin(row);
    row.scrollIntoView({ block: "center" });
  };

  for (const row of rows) {
    row.tabIndex = 0;
    row.addEventListener("mouseenter", () => show(linesOf(row), [row]));
    row.addEventListener("mouseleave", rest);
    row.addEventListener("focus", () => show(linesOf(row), [row]));
    row.addEventListener("blur", rest);
    row.addEventListener("click", () => pin(row));
    row.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      pin(row);
    });
  }
  for (const [line, shape] of shapes) {
    shape.addEventListener("mouseenter", () => {
      const found = rowsWith(line);
      show([line, ...found.filter((row) => row.closest(".fields")).flatMap(linesOf)], found);
    });
    shape.addEventListener("mouseleave", rest);
    shape.addEventListener("click", () => {
      const row = rowsWith(line).find((candidate) => candidate.offsetParent !== null);
      if (!row) return;
      pinned = null;
      pin(row);
      row.scrollIntoView({ block: "center" });
    });
  }

  for (const button of $$("button[data-toggle]")) {
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      if (button.dataset.toggle === "actual") frame.classList.toggle("actual", on);
      else svg.classList.toggle(`no-${button.dataset.toggle}`, !on);
    });
  }
  document.querySelector(".tools").hidden = false;
  addEventListener("hashchange", follow);
  follow();

  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (event.key === "Escape" && pinned) pin(pinned);
    const link = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
    const target = link && document.querySelector(`a[rel="${link}"]`);
    if (target && event.target === document.body) location.href = target.href;
  });
}
