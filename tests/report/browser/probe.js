"use strict";
// Told to the page around this one, once the page is whole: what a reader with this width and scheme of colours meets.
const errors = [];
addEventListener("error", (event) => errors.push(String(event.message)));
addEventListener("securitypolicyviolation", (event) => errors.push(`policy: ${event.violatedDirective}`));
const consoleError = console.error;
console.error = (...all) => { errors.push(all.join(" ")); consoleError(...all); };

const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
const luminance = (colour) => {
  const linear = channels(colour).slice(0, 3).map((v) => {
    const share = v / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const behind = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor, alpha = channels(colour)[3];
    if (alpha === undefined || alpha === 1) return colour;
  }
  return "rgb(255, 255, 255)";
};
const leastContrast = () => {
  let least = [Infinity, ""];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || ["SCRIPT", "STYLE"].includes(node.tagName)) continue;
    if (!node.checkVisibility()) continue;
    const [a, b] = [luminance(getComputedStyle(node).color), luminance(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < least[0]) least = [ratio, `${node.tagName} ${walker.currentNode.data.trim().slice(0, 40)}`];
  }
  return least;
};

// The rules for paper, as if they were for the screen.
const layOnPaper = () => {
  const style = document.createElement("style");
  for (const sheet of document.styleSheets) {
    for (const rule of sheet.cssRules) {
      if (rule.media && rule.media.mediaText === "print") style.textContent += [...rule.cssRules].map((one) => one.cssText).join("\n");
    }
  }
  document.head.append(style);
};

const tryPictures = async () => {
  const figure = document.querySelector("figure[data-spots]"), img = figure.querySelector("img");
  const spots = JSON.parse(figure.dataset.spots), [left, top, width, height, text] = spots[spots.length - 1];
  const output = figure.querySelector("output"), buttons = [...figure.querySelectorAll("button")];
  const box = img.getBoundingClientRect();
  const clientX = box.left + (left + width / 2) * box.width, clientY = box.top + (top + height / 2) * box.height;
  img.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY, bubbles: true }));
  const hovered = output.textContent;
  img.dispatchEvent(new PointerEvent("pointerleave", {}));
  const left_with = output.textContent;
  buttons[1].click();
  const first = output.textContent;
  buttons[0].click();
  const before_first = output.textContent;
  buttons[2].focus();
  buttons[2].click();
  const dialog = document.querySelector("dialog"), large = dialog.querySelector("img");
  await large.decode();
  await new Promise((done) => setTimeout(done));
  const opened = { open: dialog.open, alt: large.alt === img.alt, times: large.getBoundingClientRect().width * devicePixelRatio / large.naturalWidth, inside: dialog.contains(document.activeElement) };
  dialog.querySelector("button[aria-label=Larger]").click();
  opened.larger = large.getBoundingClientRect().width * devicePixelRatio / large.naturalWidth;
  dialog.close();
  await new Promise((done) => setTimeout(done));
  return { hovered, left_with, first, before_first, first_text: spots[0][4], last_text: text, opened, closed: !dialog.open, focus_back: document.activeElement === buttons[2], names: buttons.map((one) => one.getAttribute("aria-label")) };
};

addEventListener("load", async () => {
  if (VIEW.paper) layOnPaper();
  const root = document.documentElement;
  const all = (query) => [...document.querySelectorAll(query)];
  const found = {
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    width: innerWidth, scrolled_width: root.scrollWidth,
    lang: root.lang,
    headings: all("h1, h2, h3, h4, h5, h6").map((one) => Number(one.tagName[1])),
    without_text: all("main img, svg").filter((one) => !(one.alt || one.getAttribute("aria-label"))).length,
    pictures: all("main img").length,
    broken: all("main img").filter((one) => !one.naturalWidth).length,
    tables: all("table").length,
    tables_without_header: all("table").filter((one) => !one.querySelector("th[scope]")).length,
    requests: performance.getEntriesByType("resource").map((one) => one.name).filter((name) => !name.startsWith("data:")),
    contrast: leastContrast(), background: behind(document.body),
    overflowing: all("main table, main img").filter((one) => one.getBoundingClientRect().right > root.clientWidth + 1).length,
  };
  if (!VIEW.paper && document.querySelector("figure[data-spots]")) found.pictures_tried = await tryPictures();
  found.errors = errors;
  parent.postMessage({ [VIEW.name]: found }, "*");
});
