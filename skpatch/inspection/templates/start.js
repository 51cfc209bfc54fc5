function setStrength() {
  root.classList.remove("bare");
  root.style.setProperty("--heat", byId("strength").value / 100);
}

// Cells of the gallery are as wide, by their height, as most images.
function setShape() {
  const shapes = ranking.map((card) => Number(card.dataset.shape)).sort((a, b) => a - b);
  const median = shapes[Math.floor(shapes.length / 2)];
  root.style.setProperty("--cell", Math.max(0.5, Math.min(3, median)));
}

function obey(event) {
  const { target, key } = event;
  const isTyping = target.matches("input:not([type=range], [type=checkbox], [type=file]), select");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const letter = key.toLowerCase();
  if (letter in decisions) markAndMove(decisions[letter]);
  // Outlines stay: they say where to look, and colours may hide what is there.
  else if (letter === "h") root.classList.toggle("bare");
  else if (letter === "z") undo();
  else if (viewer.open) obeyInViewer(event);
  else if (move(key)) event.preventDefault();
}

function obeyInViewer(event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step) show(neighbour(opened, step));
  else if (event.key === "+") zoom(1.5);
  else if (event.key === "-") zoom(1 / 1.5);
  else if (event.key === "0") lookAt(null);
  else return;
  event.preventDefault();
}

const onClick = (id, action) => byId(id).addEventListener("click", action);

gallery.addEventListener("click", ({ target }) => {
  if (target.closest(".open")) show(target.closest(".card"));
});
gallery.addEventListener("focusin", ({ target }) => reach(target.closest(".card")));
document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-mark]");
  if (button) toggle(button);
});
document.addEventListener("keydown", obey);
viewer.addEventListener("click", ({ target }) => {
  if (target === viewer) viewer.close();
});
viewer.addEventListener("close", left);
onClick("previous", () => show(neighbour(opened, -1)));
onClick("next", () => show(neighbour(opened, 1)));
onClick("close", () => viewer.close());
onClick("bare", ({ target }) => {
  target.ariaPressed = byId("views").classList.toggle("plainly");
});
onClick("clear", clear);
onClick("undo", undo);
onClick("save", saveRanking);
onClick("save-decisions", saveDecisions);
onClick("load", () => byId("file").click());
byId("file").addEventListener("change", async ({ target }) => {
  if (target.files.length) await loadDecisions(target.files[0]);
  target.value = "";
});
addEventListener("storage", ({ key }) => {
  if (key === storageKey) recall();
});
byId("order").addEventListener("change", arrange);
byId("sections")?.addEventListener("change", arrange);
for (const id of ["search", "least", "only", "marked-as"]) byId(id).addEventListener("input", filter);
byId("strength").addEventListener("input", setStrength);
byId("threshold").addEventListener("input", recount);
onClick("curve", openRank);
for (const button of groupButtons) {
  button.hidden = false;
  button.addEventListener("click", () => {
    choose(button.dataset.group === group ? null : button.dataset.group);
    if (group !== null) gallery.scrollIntoView();
  });
}

byId("viewer-marks").append(markButtons("Decision"));
for (const card of ranking) {
  card.append(markButtons(`Decision on ${card.dataset.name}`));
  seenCards.observe(card);
  for (const button of card.querySelectorAll("button")) button.tabIndex = -1;
}
reach(current);
setShape();
recall();
// A browser may keep the controls as they were when the page is loaded again.
arrange();
setStrength();
recount();
// On a small screen images come first; on paper there is nothing to unfold.
if (matchMedia("(max-width: 40rem)").matches) {
  for (const id of ["scores", "controls"]) byId(id).open = false;
}
addEventListener("beforeprint", () => {
  for (const id of ["scores", "run"]) byId(id).open = true;
  ranking.forEach(picture);
});
for (const part of document.querySelectorAll(".scripted")) part.hidden = false;
