"use strict";
const filter = document.getElementById("filter");
const cells = [...document.querySelectorAll("td[data-words]")];
const rows = [...document.querySelectorAll("tbody tr")];
const columns = document.querySelectorAll("thead th").length;

// Every word of the filter must occur; rows and columns without a hit go away.
function show() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const cell of cells) cell.classList.toggle("faded", !words.every((word) => cell.dataset.words.includes(word)));
  const hit = (cell) => cell.dataset.words !== undefined && !cell.classList.contains("faded");
  for (const row of rows) row.classList.toggle("hidden", ![...row.cells].some(hit));
  for (let column = 1; column < columns; column++) {
    const empty = !rows.some((row) => hit(row.cells[column]));
    for (const row of document.querySelectorAll("tr")) row.cells[column].classList.toggle("hidden", empty);
  }
  document.getElementById("shown").textContent = words.length ? cells.filter(hit).length + " of " + cells.length : "";
}

// #q=WORDS filters, #target-N opens: addresses of what one sees can be passed on.
function follow() {
  const hash = decodeURIComponent(location.hash.slice(1));
  if (hash.startsWith("q=")) { filter.value = hash.slice(2); show(); }
  else if (/^target-\d+$/.test(hash)) openDialog(hash);
}

function openDialog(name) {
  const dialog = document.getElementById(name);
  if (dialog && !dialog.open) dialog.showModal();
}

filter.addEventListener("input", show);
document.querySelector("tbody").addEventListener("click", (event) => {
  const button = event.target.closest("button[data-target]");
  if (button) openDialog(button.dataset.target);
});
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}
addEventListener("hashchange", follow);
follow();
