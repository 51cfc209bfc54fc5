let opened = null;

function fact(term, value, kind = "") {
  const group = create("div", "", kind);
  group.append(create("dt", term), create("dd", value));
  return group;
}

function showFacts(card) {
  const { rank, removed, group: alike, known, unlike, original } = card.dataset;
  const facts = [
    fact("Rank", `${rank} of ${ranking.length}`),
    fact("Score", `${textOf(card, "score b")}, ${card.dataset.verdict}`, isAlarm(card) ? "alarm" : ""),
    fact("p-value", textOf(card, "pvalue")),
  ];
  if (textOf(card, "regions")) facts.push(fact("Outlined", textOf(card, "regions")));
  if (removed !== undefined) facts.push(fact("Noise patches", removed));
  if (alike !== undefined) facts.push(fact("Group", alike));
  if (known !== undefined) facts.push(fact("Known to the model", known));
  if (unlike !== undefined) facts.push(fact("Unlike", "everything learned"));
  if (original !== undefined) facts.push(fact("Copy of", original));
  byId("facts").replaceChildren(...facts);
}

// Buttons that lead to the regions, the worst first.
function showRegions(card) {
  const { width, height } = picture(card).viewBox.baseVal;
  const rows = JSON.parse(card.dataset.regions).map(({ box, area, score }) => {
    const share = (100 * area) / (width * height);
    const button = create("button", `score ${score.toFixed(2)}, ${share < 1 ? "under 1" : Math.round(share)} %`);
    button.type = "button";
    button.addEventListener("click", () => lookAt(box));
    const row = create("li");
    row.append(button);
    return row;
  });
  byId("region-list").replaceChildren(...rows);
  byId("regions").hidden = rows.length === 0;
}

function showPictures(card) {
  const inside = card.querySelector("template")?.content.cloneNode(true);
  const marked = picture(card).cloneNode(true);
  const large = inside?.querySelector("image");
  if (large) marked.querySelector("image").replaceWith(large);
  const plain = marked.cloneNode(true);
  for (const part of plain.querySelectorAll(".heat, .outline")) part.remove();
  byId("marked").replaceChildren(marked);
  byId("plain").replaceChildren(plain);
  byId("places").replaceChildren(...(inside?.querySelectorAll("figure") ?? []));
  const { width, height } = marked.viewBox.baseVal;
  byId("views").style.setProperty("--shape", width / height);
  viewer.classList.toggle("wide", width > 1.6 * height);
  lookAt(null);
}

function show(card) {
  if (!card) return;
  opened = card;
  const { name, file, decision = "" } = card.dataset;
  byId("viewer-name").textContent = name;
  byId("original").hidden = file === undefined;
  if (file !== undefined) byId("original").href = file;
  showPictures(card);
  showFacts(card);
  showRegions(card);
  press(viewer, decision);
  // Not `disabled`: a button that has the focus would lose it.
  byId("previous").ariaDisabled = !neighbour(card, -1);
  byId("next").ariaDisabled = !neighbour(card, 1);
  if (!viewer.open) viewer.showModal();
}

function left() {
  if (isShown(opened)) opened.querySelector("button").focus();
  else current.querySelector("button").focus();
}
