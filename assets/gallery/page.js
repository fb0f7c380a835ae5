"use strict";
// Filters live in the address (#q=mug&split=train), so that a view can be linked to and survives a reload.
const form = document.querySelector(".bar form");
const cards = [...document.querySelectorAll("article")];
const fields = [...form.querySelectorAll("input, select")];
const count = form.querySelector("output");
const clear = form.querySelector("button");
const empty = document.querySelector(".empty");
const all = count.value;

function fits(card, wanted) {
  return wanted.every(([name, value]) => {
    if (name === "q") return value.toLowerCase().split(/\s+/).every((word) => card.dataset.q.includes(word));
    return card.dataset[name].split("|").includes(value);
  });
}

function show() {
  const wanted = fields.filter((field) => field.value.trim()).map((field) => [field.name, field.value.trim()]);
  let shown = 0;
  for (const card of cards) {
    card.hidden = !fits(card, wanted);
    shown += !card.hidden;
  }
  for (const field of fields) field.classList.toggle("chosen", field.value.trim() !== "");
  count.value = wanted.length ? shown + " of " + cards.length : all;
  clear.hidden = !wanted.length;
  empty.hidden = shown > 0;
  return wanted;
}

function remember() {
  history.replaceState(null, "", "#" + new URLSearchParams(show()));
}

function recall() {
  if (location.hash && !location.hash.includes("=") && location.hash !== "#") return; // a link to one scene
  const wanted = new URLSearchParams(location.hash.slice(1));
  for (const field of fields) {
    field.value = wanted.get(field.name) || "";
    if (field.selectedIndex === -1) field.value = ""; // a value that this library does not have
  }
  show();
}

form.addEventListener("input", remember);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(remember));
addEventListener("hashchange", recall);
addEventListener("keydown", (event) => {
  if (event.key === "/" && !/INPUT|SELECT|TEXTAREA/.test(document.activeElement.tagName)) {
    event.preventDefault();
    form.elements.q.focus();
  }
});
recall();
