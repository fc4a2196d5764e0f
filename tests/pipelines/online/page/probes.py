"""JavaScript that tests run in the page: what it looks like, measured."""

from __future__ import annotations

SHAPES = """() => [...document.querySelectorAll(".shape")].map((shape) => {
  const box = shape.getBoundingClientRect(), leaf = shape.closest(".canvas").getBoundingClientRect();
  return { line: Number(shape.dataset.line), colour: getComputedStyle(shape).getPropertyValue("--c"),
    box: [(box.left - leaf.left) / leaf.width, (box.top - leaf.top) / leaf.height,
          (box.right - leaf.left) / leaf.width, (box.bottom - leaf.top) / leaf.height] };
})"""
"""Line id, colour and place (shares of the page: x0, y0, x1, y1) of every box."""

ARROWS = """() => [...document.querySelectorAll("path.link")]
  .map((path) => [path.dataset.key, path.dataset.value, path.getAttribute("d")])"""
"""Key line, value line and path of every arrow."""

LIT_IS_SEEN = """() => {
  const view = document.querySelector("#viewer").getBoundingClientRect();
  return [...document.querySelectorAll(".shape.on")].some((shape) => {
    const box = shape.getBoundingClientRect();
    return box.top >= view.top && box.bottom <= view.bottom && box.left < view.right && box.right > view.left;
  });
}"""
"""Whether a lit box is inside the part of the page that is in sight."""

GIVE = """([kind, name, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
  const options = kind === "paste" ? { clipboardData: data } : { dataTransfer: data };
  const type = kind === "paste" ? ClipboardEvent : DragEvent;
  document.body.dispatchEvent(new type(kind, { ...options, bubbles: true, cancelable: true }));
}"""
"""Drag, drop or paste a PNG file: (kind of event, name, bytes)."""

STATES = "() => [...document.querySelectorAll('#tabs .state')].map((state) => state.textContent).join(', ')"
"""What the list of documents says about each."""

POOR_CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parse = (css) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = css;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (top, below) => top.slice(0, 3).map((value, i) => value * top[3] + below[i] * (1 - top[3]));
  const ground = (node) => {
    if (!node) return [255, 255, 255];
    const own = parse(getComputedStyle(node).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, ground(node.parentElement));
  };
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const light = (colour) => {
    const [red, green, blue] = colour.map((value) => linear(value / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const poor = [];
  for (const node of document.querySelectorAll("body *:not(script, style, option, svg *)")) {
    const own = [...node.childNodes].filter((child) => child.nodeType === Node.TEXT_NODE);
    const text = own.map((child) => child.textContent.trim()).join("");
    const shown = node.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    if (!text || !shown || node.closest(".unseen, :disabled, .toast:not(.shown), .skip")) continue;
    const style = getComputedStyle(node), below = ground(node), size = parseFloat(style.fontSize);
    const [less, more] = [light(over(parse(style.color), below)), light(below)].sort((a, b) => a - b);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ratio = (more + 0.05) / (less + 0.05);
    if (ratio < (large ? 3 : 4.5)) poor.push(`${ratio.toFixed(2)} ${node.tagName} ${text}`);
  }
  return poor;
}"""
"""Texts below the contrast that WCAG 2.2 AA asks for (1.4.3)."""

CUT_OFF = """() => [...document.querySelectorAll("#document button, .top button, select, #fields tr:not([hidden]) > *")]
  .filter((node) => node.checkVisibility() && !node.closest("#legend, #rail"))
  .filter((node) => {
    const box = node.getBoundingClientRect();
    return box.left < -0.5 || box.right > innerWidth + 0.5;
  })
  .map((node) => node.outerHTML.slice(0, 80))"""
"""Controls and cells that reach over the sides of the window; lists that scroll sideways are left out."""

IN_SIGHT = """() => {
  const view = document.querySelector("#viewer").getBoundingClientRect();
  const cell = document.activeElement.getBoundingClientRect();
  return { cell: cell.top >= 0 && cell.bottom <= innerHeight, viewer: view.width > 250 && view.height > 150 };
}"""
"""Whether what has the focus is in sight, and the pages have room."""

MOVING = """() => [...document.querySelectorAll("*")].filter((node) => {
  const style = getComputedStyle(node);
  return style.animationName !== "none" || parseFloat(style.transitionDuration) > 0;
}).length"""
"""How many elements have an animation or transition."""
