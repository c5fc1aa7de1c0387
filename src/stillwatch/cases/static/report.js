"use strict";
(() => {
  // Tooltips: an SVG <title> becomes a styled box; without this script the browser shows the title itself.
  const tip = document.getElementById("tip");
  const titleOf = (element) => element.querySelector && element.querySelector(":scope > title");
  const place = (event) => {
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    const below = event.clientY + 18 + tip.offsetHeight > innerHeight;
    tip.style.left = Math.max(8, left) + "px";
    tip.style.top = (below ? event.clientY - tip.offsetHeight - 12 : event.clientY + 18) + "px";
  };
  const silence = () => { tip.hidden = true; };
  document.addEventListener("pointerover", (event) => {
    const element = event.target.closest ? event.target.closest("svg rect, svg circle") : null;
    if (!element) { silence(); return; }
    const title = titleOf(element);
    if (title) { element.dataset.tip = title.textContent; title.remove(); element.setAttribute("aria-label", element.dataset.tip); }
    if (!element.dataset.tip) { silence(); return; }
    tip.textContent = element.dataset.tip;
    tip.hidden = false;
    place(event);
  });
  document.addEventListener("pointermove", (event) => { if (!tip.hidden) { place(event); } });
  document.addEventListener("scroll", silence, { passive: true });

  // Legends of account graphs: untick a kind of evidence to hide its links.
  document.querySelectorAll("input[data-axis]").forEach((box) => {
    box.addEventListener("change", () => {
      const graph = box.closest("div").querySelector("svg.network");
      graph.querySelectorAll("path." + box.dataset.axis).forEach((path) => { path.style.display = box.checked ? "" : "none"; });
    });
  });

  // Tables: find rows, sort by a column.
  document.querySelectorAll("input[data-filter]").forEach((box) => {
    box.addEventListener("input", () => {
      const wanted = box.value.trim().toLowerCase();
      box.closest("details").querySelectorAll("tbody tr").forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(wanted); });
    });
  });
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.v || cell.textContent.trim();
    const number = cell.classList.contains("n") ? parseFloat(text.replace(/[^0-9.eE+-]/g, "")) : NaN;
    return Number.isNaN(number) ? text : number;
  };
  document.querySelectorAll("table.sortable thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.textContent = "";
    head.append(button);
    button.addEventListener("click", () => {
      const index = [...head.parentNode.children].indexOf(head);
      const down = head.getAttribute("aria-sort") !== "descending";
      [...head.parentNode.children].forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = head.closest("table").tBodies[0];
      const rows = [...body.rows].map((row) => [value(row, index), row]);
      rows.sort((a, b) => (typeof a[0] === "number" && typeof b[0] === "number" ? a[0] - b[0] : String(a[0]).localeCompare(String(b[0]))) * (down ? -1 : 1));
      body.append(...rows.map((pair) => pair[1]));
    });
  });
})();
