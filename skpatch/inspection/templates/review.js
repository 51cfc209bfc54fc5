const decisions = { d: "defect", n: "normal", u: "unsure" };
// Marks of this report, by rank; another report has another digest.
const storageKey = `skpatch ${gallery.dataset.digest}`;
let earlier = [];

function markButtons(label) {
  const group = create("div", "", "marks");
  group.role = "group";
  group.ariaLabel = label;
  for (const [key, decision] of Object.entries(decisions)) {
    const button = create("button", decision);
    button.type = "button";
    button.dataset.mark = decision;
    button.ariaPressed = false;
    button.ariaKeyShortcuts = key;
    group.append(button);
  }
  return group;
}

function press(container, decision) {
  for (const button of container.querySelectorAll("[data-mark]")) {
    button.ariaPressed = button.dataset.mark === decision;
  }
}

// Show a decision, "" for none, on its card.
function put(card, decision) {
  if (decision) card.dataset.decision = decision;
  else delete card.dataset.decision;
  press(card, decision);
  if (viewer.open && card === opened) press(viewer, decision);
}

// Mark cards, each with its decision, in a step that can be undone.
function mark(pairs) {
  earlier.push(pairs.map(([card]) => [card, card.dataset.decision ?? ""]));
  for (const [card, decision] of pairs) put(card, decision);
  keep();
}

function undo() {
  const pairs = earlier.pop() ?? [];
  for (const [card, decision] of pairs) put(card, decision);
  keep();
  if (pairs.length !== 1) return;
  const [[card]] = pairs;
  if (viewer.open) show(card);
  else if (isShown(card)) card.querySelector("button").focus();
}

// A second click on a decision takes it back.
function toggle(button) {
  const card = button.closest(".card") ?? opened;
  const { mark: decision } = button.dataset;
  const next = neighbour(card, 1);
  mark([[card, card.dataset.decision === decision ? "" : decision]]);
  // It may be filtered away now, with the focus.
  if (!viewer.open && card.hidden) (next ?? current).querySelector("button").focus();
}

// Mark with a key, and go on to the next image.
function markAndMove(decision) {
  const card = viewer.open ? opened : document.activeElement.closest(".card");
  if (!card) return;
  const next = neighbour(card, 1);
  mark([[card, decision]]);
  if (viewer.open) show(next);
  else (next ?? current).querySelector("button").focus();
}

const marked = () => ranking.filter((card) => card.dataset.decision);

function keep() {
  const marks = Object.fromEntries(
    marked().map((card) => [card.dataset.rank, card.dataset.decision]),
  );
  try {
    localStorage.setItem(storageKey, JSON.stringify(marks));
  } catch {
    tell("This browser keeps no marks: save them before you close the page.");
  }
  tellProgress();
  filter();
}

// Marks of an earlier visit, or of the same report in another window.
function recall() {
  let marks = {};
  try {
    marks = JSON.parse(localStorage.getItem(storageKey)) ?? {};
  } catch {
    // Nothing was kept, or not by skpatch.
  }
  const known = Object.values(decisions);
  for (const card of ranking) {
    const decision = marks[card.dataset.rank];
    put(card, known.includes(decision) ? decision : "");
  }
  tellProgress();
}

function tellProgress() {
  const alarms = ranking.filter(isAlarm);
  const wanted = alarms.length ? alarms : ranking;
  const done = wanted.filter((card) => card.dataset.decision).length;
  const others = marked().length - done;
  const more = others ? `, and ${counted(others)} other${others > 1 ? "s" : ""}` : "";
  const what = alarms.length ? `${word} ` : "";
  byId("progress").textContent =
    `${counted(done)} of ${counted(wanted.length)} ${what}reviewed${more}`;
  byId("save-decisions").textContent = `Save decisions (${counted(marked().length)})`;
  byId("save-decisions").ariaDisabled = marked().length === 0;
  byId("undo").ariaDisabled = earlier.length === 0;
}

function tell(message) {
  byId("told").textContent = message;
}

function saveDecisions() {
  if (marked().length === 0) return;
  const rows = marked().map(({ dataset }) => [
    safe(dataset.name), dataset.decision, dataset.score, dataset.rank,
  ]);
  download("decisions.csv", [["image", "decision", "score", "rank"], ...rows]);
}

// The value of a name, or of the end of a path: tables of the command line have more folders.
function findByName(cards, path) {
  for (let name = path; name; name = name.replace(/^[^/\\]*[/\\]?/, "")) {
    if (cards.has(name)) return cards.get(name);
  }
  return null;
}

// Take the decisions of a file that was saved before, here or from another report.
async function loadDecisions(file) {
  const [header = [], ...lines] = parseCsv(await file.text());
  const [image, decision] = ["image", "decision"].map((name) => header.indexOf(name));
  if (image < 0 || decision < 0) {
    tell(`${file.name} is no file of decisions: it has no columns "image" and "decision".`);
    return;
  }
  const cards = new Map(ranking.map((card) => [safe(card.dataset.name), card]));
  const rows = lines.filter((row) => row[decision]);
  const pairs = rows
    .map((row) => [findByName(cards, row[image]), row[decision]])
    .filter(([card, decided]) => card && Object.values(decisions).includes(decided));
  if (pairs.length) mark(pairs);
  const left = rows.length - pairs.length;
  const others = left
    ? `; ${counted(left)} left out, of images that are not in this report or no decision`
    : "";
  const what = pairs.length === 1 ? "decision" : "decisions";
  tell(`${counted(pairs.length)} ${what} loaded from ${file.name}${others}.`);
}
