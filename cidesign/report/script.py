"""What the page can do where scripts run: enlarge pictures, and say what is under the pointer.

Nothing of the page depends on it: without scripts there are the same pictures, captions and tables, and no dead
buttons.  It loads nothing; the policy of the page lets this text run by its digest, and no other.
"""

SCRIPT = """
(() => {
"use strict";
const make = (tag, values, ...children) => {
  const node = Object.assign(document.createElement(tag), values);
  node.append(...children);
  return node;
};
const button = (text, name, run) => {
  const made = make("button", { type: "button", textContent: text, onclick: run });
  made.setAttribute("aria-label", name);
  return made;
};

/* One dialog for all pictures: it takes the focus, Escape closes it, and the focus goes back to where it was. */
const large = make("img", { alt: "" });
const size = make("output", {});
const scroll = make("div", { className: "scroll", tabIndex: 0 }, large);
scroll.setAttribute("role", "region");
scroll.setAttribute("aria-label", "Picture, to be scrolled");
let times = 1;
const enlarge = (wanted) => {
  times = Math.min(8, Math.max(0.25, wanted));
  large.style.width = large.naturalWidth * times / devicePixelRatio + "px";
  size.textContent = `${large.naturalWidth} x ${large.naturalHeight} pixels, at ${100 * times} %`;
};
const dialog = make("dialog", {}, make("div", { className: "tools" },
  size,
  button("-", "Smaller", () => enlarge(times / 2)),
  button("1:1", "1:1, true pixels", () => enlarge(1)),
  button("+", "Larger", () => enlarge(times * 2)),
  button("Close", "Close the picture", () => dialog.close())), scroll);
dialog.setAttribute("aria-label", "Enlarged picture");
dialog.addEventListener("keydown", (event) => {
  if (event.key === "+" || event.key === "=") enlarge(times * 2);
  if (event.key === "-") enlarge(times / 2);
});
document.body.append(dialog);
const open = (img) => {
  large.src = img.src;
  large.alt = img.alt;
  dialog.showModal();
  large.decode().then(() => enlarge(1));
};

/* What is drawn at a place: the spots of a figure are [left, top, width, height, text, rows, columns, most], places as
   shares of the picture; where rows > 0 the spot is an image, and where most > 0 its grey is 0 to that. */
const reading = (img, spots, tools) => {
  const said = make("output", {}), mark = make("div", { className: "mark", hidden: true });
  img.parentNode.append(mark);
  let pixels = null, at = -1;
  const grey = (x, y) => {
    if (pixels === null) {
      const canvas = make("canvas", { width: img.naturalWidth, height: img.naturalHeight });
      pixels = canvas.getContext("2d", { willReadFrequently: true });
      pixels.drawImage(img, 0, 0);
    }
    const across = Math.min(img.naturalWidth - 1, Math.floor(x * img.naturalWidth));
    const down = Math.min(img.naturalHeight - 1, Math.floor(y * img.naturalHeight));
    return pixels.getImageData(across, down, 1, 1).data[0] / 255;
  };
  const show = (number, x, y) => {
    at = number;
    mark.hidden = number < 0;
    if (number < 0) { said.textContent = ""; return; }
    const [left, top, width, height, text, rows, columns, most] = spots[number];
    Object.assign(mark.style, { left: 100 * left + "%", top: 100 * top + "%", width: 100 * width + "%",
      height: 100 * height + "%" });
    let more = "";
    if (rows > 0 && x !== undefined) {
      const row = Math.min(rows - 1, Math.floor((y - top) / height * rows));
      const column = Math.min(columns - 1, Math.floor((x - left) / width * columns));
      more = `, row ${row}, column ${column}`;
      if (most > 0) {
        const value = most * grey(left + (column + 0.5) / columns * width, top + (row + 0.5) / rows * height);
        more += `: ${value.toFixed(2)} as drawn`;
      }
    }
    said.textContent = text + more;
  };
  img.addEventListener("pointermove", (event) => {
    const box = img.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
    /* Of places that lie on each other the one with the nearest middle. */
    let found = -1, least = Infinity;
    spots.forEach(([left, top, width, height], number) => {
      const far = Math.hypot(x - left - width / 2, y - top - height / 2);
      const inside = x >= left && x <= left + width && y >= top && y <= top + height;
      if (inside && far < least) [found, least] = [number, far];
    });
    show(found, x, y);
  });
  img.addEventListener("pointerleave", () => show(-1));
  const step = (by) => () => show((Math.max(at, by > 0 ? -1 : 0) + by + spots.length) % spots.length);
  tools.append(said, button("<", "Value before", step(-1)), button(">", "Next value", step(1)));
};

for (const figure of document.querySelectorAll("figure")) {
  const img = figure.querySelector("img"), tools = make("div", { className: "tools" });
  if (figure.dataset.spots) reading(img, JSON.parse(figure.dataset.spots), tools);
  tools.append(button("Enlarge", "Enlarge this picture", () => open(img)));
  img.style.cursor = "zoom-in";
  img.addEventListener("click", () => open(img));
  figure.querySelector("figcaption").before(tools);
}
})();
"""
