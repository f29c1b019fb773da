"""The look of a report, and the few lines of script that its tables need."""

__all__ = ["CSS", "SCRIPT"]

CSS = """
:root { --ink: #1f2933; --soft: #52606d; --line: #d9dee4; --ground: #f5f7fa; --accent: #0072B2;
  --warn: #8a3b00; --warn-ground: #fdebdf; }
* { box-sizing: border-box; }
html { color-scheme: light; }
body { margin: 0; font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif;
  color: var(--ink); background: #fff; }
main { max-width: 1280px; margin: 0 auto; padding: 24px 24px 64px; }
h1 { font-size: 1.05rem; font-weight: 600; color: var(--soft); margin: 0 0 12px; }
h2 { font-size: 1.25rem; margin: 48px 0 8px; }
h3 { font-size: 1rem; margin: 24px 0 4px; }
p { margin: 4px 0 12px; max-width: 75ch; }
.headline { font-size: clamp(1.25rem, 2.6vw, 1.75rem); line-height: 1.3; font-weight: 650;
  margin: 0 0 6px; max-width: 48ch; }
.headline small { display: block; font-size: 0.95rem; font-weight: 400; color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 20px 0 0; padding: 8px 0;
  border-top: 1px solid var(--line); border-bottom: 1px solid var(--line); font-size: 0.95rem; }
a { color: var(--accent); }
.soft, small, .missing { color: var(--soft); }
small { display: block; font-size: 0.8rem; font-weight: 400; }
.missing { font-size: 0.8rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr));
  gap: 16px; }
figure { margin: 0; min-width: 0; overflow: hidden; }
.narrow { max-width: 820px; }
figcaption { font-weight: 600; }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
.tall { max-height: 560px; overflow-y: auto; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: 0.875rem; }
.wide td:last-child:not(.bars) { min-width: 240px; }
th, td { padding: 6px 10px; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { position: sticky; top: 0; z-index: 2; background: var(--ground); white-space: nowrap; }
tbody th { position: sticky; left: 0; z-index: 1; background: #fff; font-weight: 600;
  min-width: 120px; max-width: 40vw; overflow-wrap: anywhere; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.sortable thead th { cursor: pointer; }
.sortable thead th[aria-sort=ascending]::after { content: " \\2191"; }
.sortable thead th[aria-sort=descending]::after { content: " \\2193"; }
.tag { display: inline-block; padding: 0 6px; border-radius: 4px; font-size: 0.75rem;
  font-weight: 600; background: var(--ground); border: 1px solid var(--line); white-space: nowrap; }
.tag.warn { color: var(--warn); background: var(--warn-ground); border-color: var(--warn); }
.bars { min-width: 150px; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bar { display: block; height: 4px; margin-top: 2px; border-radius: 1px; min-width: 1px; }
.before { background: #9aa5b1; }
.after { background: var(--accent); }
.key { display: inline-block; width: 24px; height: 6px; vertical-align: middle; }
.total > * { position: sticky; bottom: 0; background: var(--ground); font-weight: 600;
  border-top: 1px solid var(--line); }
details > summary { cursor: pointer; }
td details { min-width: 340px; max-width: 420px; }
section > details > summary { font-weight: 600; padding: 6px 0; }
pre { margin: 6px 0 0; padding: 8px; background: var(--ground); border-radius: 4px;
  font-size: 0.8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 600px) {
  main { padding: 16px 12px 48px; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: 8px; }
}
@media print { .wide, .tall { overflow: visible; max-height: none; } }
"""

SCRIPT = """
// a picture drawn before the page had its final width keeps the wrong one
const fit = () => document.querySelectorAll(".js-plotly-plot").forEach(p => Plotly.Plots.resize(p));
addEventListener("load", fit);
addEventListener("resize", fit);
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    const sort = () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = row => {
        const cell = row.cells[column], number = cell.dataset.value;
        if (number === undefined) return cell.textContent;
        return number === "" ? NaN : Number(number);
      };
      const order = (a, b) => {
        const x = value(a), y = value(b);
        if (typeof x === "string") return (up ? 1 : -1) * x.localeCompare(y);
        if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
        return (up ? 1 : -1) * (x - y);
      };
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort(order));
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", event => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); }
    });
  });
}
"""
