const byId = (id) => document.getElementById(id);
const root = document.documentElement;
const gallery = byId("gallery");
const viewer = byId("viewer");
// The cards in the order of suspicion.
const ranking = [...gallery.children];
// What an image is above the threshold.
const word = gallery.dataset.word;

const isAlarm = (card) => card.classList.contains("alarm");
const isShown = (card) => !card.hidden;
const textOf = (card, part) => card.querySelector(`.${part}`)?.textContent;
const counted = (count) => count.toLocaleString("en");

function create(tag, text = "", kind = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = kind;
  return element;
}

// Next card in the gallery that is shown, or before it.
function neighbour(card, step) {
  const side = step > 0 ? "nextElementSibling" : "previousElementSibling";
  let found = card[side];
  while (found && (found.hidden || !found.classList.contains("card"))) found = found[side];
  return found;
}

// The picture of a card. Thousands would take long to load, so it is text until it is needed;
// there are no words of others in it.
function picture(card) {
  const text = card.querySelector("noscript");
  if (text) text.outerHTML = text.textContent;
  return card.querySelector("svg");
}

const seenCards = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) picture(target);
}, { rootMargin: "100%" });
