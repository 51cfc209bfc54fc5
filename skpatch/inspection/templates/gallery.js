const collator = new Intl.Collator(undefined, { numeric: true });
const byRank = (a, b) => a.dataset.rank - b.dataset.rank;
// Images without p-value come last.
const pvalue = (card) => (card.dataset.pvalue === "" ? 2 : Number(card.dataset.pvalue));
const orders = {
  rank: byRank,
  reversed: (a, b) => byRank(b, a),
  pvalue: (a, b) => pvalue(a) - pvalue(b) || byRank(a, b),
  name: (a, b) => collator.compare(a.dataset.name, b.dataset.name) || byRank(a, b),
};
const folderOf = (name) => name.split(/[/\\]/).slice(0, -1).join("/");
// Headings under which images stand together.
const sections = {
  threshold: (card) => (card.dataset.score > 1 ? "Above the threshold" : "Up to the threshold"),
  folder: (card) => folderOf(card.dataset.name) || "No subfolder",
  alike: (card) => (card.dataset.group ? `Look alike: group ${card.dataset.group}` : "Like no other"),
};
let headings = [];

function arrange() {
  for (const { heading } of headings) heading.remove();
  const order = byId("order").value;
  const isByScore = order === "rank" || order === "reversed";
  const wanted = byId("sections")?.value || (isByScore && "threshold");
  const parts = new Map();
  for (const card of [...ranking].sort(orders[order])) {
    const title = wanted ? sections[wanted](card) : "";
    if (!parts.has(title)) parts.set(title, []);
    parts.get(title).push(card);
  }
  headings = [];
  for (const [title, cards] of parts) {
    if (parts.size > 1) {
      const heading = create("li", "", "section");
      heading.append(create("h2", title), create("span", "", "quiet"));
      headings.push({ heading, cards });
      gallery.append(heading);
    }
    gallery.append(...cards);
  }
  filter();
}

let group = null;

function matches(card) {
  const { name, score, decision = "" } = card.dataset;
  const least = Number(byId("least").value);
  const marked = byId("marked-as").value;
  return (
    name.toLowerCase().includes(byId("search").value.toLowerCase()) &&
    (group === null || card.dataset.group === group) &&
    (!byId("only").checked || isAlarm(card)) &&
    (!(least > 0) || (score !== "" && Number(score) >= least)) &&
    (marked === "" || (marked === "none" ? decision === "" : decision === marked))
  );
}

function filter() {
  for (const card of ranking) card.hidden = !matches(card);
  const shown = ranking.filter(isShown).length;
  const images = ranking.length === 1 ? "image" : "images";
  const part = shown === ranking.length ? "" : `${counted(shown)} of `;
  byId("count").textContent = `${part}${counted(ranking.length)} ${images}`;
  byId("nothing").hidden = shown > 0;
  for (const { heading, cards } of headings) {
    const left = cards.filter(isShown).length;
    heading.hidden = left === 0;
    heading.lastChild.textContent = counted(left);
  }
  if (current.hidden) reach(ranking.find(isShown) ?? current);
}

const groupButtons = document.querySelectorAll(".groups button");

function choose(wanted) {
  group = wanted;
  for (const button of groupButtons) {
    const pressed = button.dataset.group === group;
    button.ariaPressed = pressed;
    button.textContent = pressed ? "Show all" : "Show them";
  }
  filter();
}

function clear() {
  byId("search").value = byId("least").value = byId("marked-as").value = "";
  byId("only").checked = false;
  choose(null);
  byId("search").focus();
}

// Only one card is a stop of the Tab key; arrows lead to the others.
let current = ranking[0];

function reach(card) {
  for (const button of current.querySelectorAll("button")) button.tabIndex = -1;
  current = card;
  for (const button of current.querySelectorAll("button")) button.tabIndex = 0;
}

// The card in the next row that is nearest to the same column.
function nextRow(card, step) {
  const away = (other) => Math.abs(other.offsetLeft - card.offsetLeft);
  let best = null;
  for (let other = neighbour(card, step); other; other = neighbour(other, step)) {
    if (other.offsetTop === card.offsetTop) continue;
    if (best && other.offsetTop !== best.offsetTop) break;
    if (!best || away(other) < away(best)) best = other;
  }
  return best;
}

const moves = {
  ArrowLeft: (card) => neighbour(card, -1),
  ArrowRight: (card) => neighbour(card, 1),
  ArrowUp: (card) => nextRow(card, -1),
  ArrowDown: (card) => nextRow(card, 1),
  Home: () => [...gallery.children].find((one) => isShown(one) && one.matches(".card")),
  End: () => [...gallery.children].findLast((one) => isShown(one) && one.matches(".card")),
};

// Move the focus within the gallery; true if the key means that.
function move(key) {
  const card = document.activeElement.closest(".card");
  if (!card || !(key in moves)) return false;
  moves[key](card)?.querySelector("button").focus();
  return true;
}
