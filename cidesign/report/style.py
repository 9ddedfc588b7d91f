"""How the page looks: light or dark as the reader's system is, on any width, and on paper."""

STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --soft: #555; --line: #ccc; --fine: #e8e8e8;
  --good: #1b5e20; --bad: #b00020; --unsure: #7a4a00; --link: #0b5394; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6e8; --paper: #15181c; --soft: #b3b8be; --line: #454b53;
  --fine: #2b3037; --good: #8fd694; --bad: #ff949f; --unsure: #ffcc80; --link: #8fc1f2; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: var(--ink);
  background: var(--paper); overflow-wrap: break-word; }
a { color: var(--link); } h1, h2 { overflow-wrap: anywhere; line-height: 1.25; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
nav { display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; } nav a { padding: 0.15rem 0; }
.verdict { border-left: 0.4rem solid; padding: 0.4rem 0.8rem; font-weight: 600; }
figure { margin: 1rem 0; } figure img { display: block; max-width: max(100%, 40rem); height: auto; background: #fff; }
figcaption, .note { color: var(--soft); font-size: 0.9rem; } figcaption { margin-top: 0.3rem; }
.wide { overflow-x: auto; } .wide > table { margin: 0.6rem 0; } table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: 0.15rem 1rem 0.15rem 0; border-bottom: 1px solid var(--fine); }
td { font-variant-numeric: tabular-nums; }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
.unsure { color: var(--unsure); }
.facts { width: 100%; margin: 0.6rem 0; } .facts th { font-weight: 400; width: 12rem; }
.facts td, .facts th { overflow-wrap: anywhere; }
@media (max-width: 40rem) { .facts th { width: 8rem; } th, td { padding-right: 0.5rem; } body { margin: 1rem auto; } }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.shown { position: relative; width: fit-content; } .mark { position: absolute; pointer-events: none;
  border: 2px solid #d00; background: rgba(255, 255, 255, 0.15); }
.tools { display: flex; flex-wrap: wrap; gap: 0.3rem; align-items: center; margin-top: 0.3rem; font-size: 0.9rem; }
.tools output { flex: 1 1 12rem; min-height: 1.5em; }
button { font: inherit; color: var(--ink); background: var(--paper); border: 1px solid var(--soft);
  border-radius: 4px; padding: 0.1rem 0.6rem; min-height: 1.8rem; cursor: pointer; }
dialog { color: var(--ink); background: var(--paper); border: 1px solid var(--soft); padding: 0.6rem;
  width: 96vw; height: 94vh; max-width: none; max-height: none; }
dialog[open] { display: flex; flex-direction: column; } dialog::backdrop { background: rgba(0, 0, 0, 0.6); }
dialog .scroll { flex: 1; overflow: auto; margin-top: 0.4rem; } dialog img { max-width: none; background: #fff;
  image-rendering: pixelated; }
@media print { :root { color-scheme: light; --ink: #000; --paper: #fff; --soft: #333; --line: #999; --fine: #ccc;
  --good: #1b5e20; --bad: #b00020; --unsure: #7a4a00; --link: #000; }
  body { max-width: none; margin: 0; padding: 0; font-size: 10pt; } nav, .tools, .mark, dialog { display: none; }
  .wide { overflow: visible; } table { width: 100%; } thead { display: table-header-group; }
  th, td { overflow-wrap: anywhere; padding-right: 0.4rem; } tr, figure, .verdict { break-inside: avoid; }
  h1, h2 { break-after: avoid; } figure img { max-width: 100%; max-height: 20cm; width: auto; } }
"""
