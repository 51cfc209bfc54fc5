"use strict";
const at = (id) => document.getElementById(id);
const most = 60;
const waiting = [];
let isBusy = false;

function headers() {
  return at("key").value ? { Authorization: `Bearer ${at("key").value}` } : {};
}

async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: headers() });
  if (answer.status === 401) at("ask").hidden = false;
  if (!answer.ok && answer.status !== 503) {
    const said = await answer.json().catch(() => ({}));
    throw new Error(said.error || `The server answers ${answer.status}.`);
  }
  return answer;
}

async function greet() {
  try {
    const models = await (await ask("models")).json();
    at("model").replaceChildren(...models.map((name) => new Option(name)));
    at("which").hidden = models.length < 2;
    at("ask").hidden = !at("key").value;
    await lookAround();
    return true;
  } catch (error) {
    at("state").textContent = error.message;
    return false;
  }
}

async function lookAround() {
  const health = await (await ask("health")).json();
  const messages = Object.entries(health.models)
    .filter(([, one]) => one.message)
    .map(([name, one]) => `${name}: ${one.message}`);
  at("changed").textContent = messages.join(" ");
  at("changed").hidden = !messages.length;
}

async function score(file) {
  const form = new FormData();
  form.append("image", file);
  const path = `models/${encodeURIComponent(at("model").value)}/score?map=base64`;
  for (;;) {
    const answer = await ask(path, { method: "POST", body: form });
    const said = await answer.json();
    if (answer.ok) return said;
    at("state").textContent = said.error;
    await new Promise((done) => setTimeout(done, 1000 * (answer.headers.get("Retry-After") || 1)));
  }
}

function picture(text) {
  const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
}

function show(file, said, failure) {
  const card = at("card").content.cloneNode(true).firstElementChild;
  card.classList.add(failure ? "failed" : said.label);
  card.querySelector("h2").textContent = file.name;
  card.querySelector(".verdict").textContent = failure ? "not inspected" : said.label;
  const link = card.querySelector(".open");
  if (failure) {
    link.remove();
    card.querySelector(".numbers").textContent = failure;
  } else {
    link.href = picture(said.map);
    link.querySelector("img").src = link.href;
    link.querySelector("img").alt = `${file.name} under its heat map`;
    const regions = said.n_regions === 1 ? "1 region" : `${said.n_regions} regions`;
    card.querySelector(".numbers").textContent =
      `score ${said.score.toFixed(2)} · p-value ${said.p_value.toPrecision(2)} · ${regions}` +
      ` · ${Math.round(1000 * said.latency)} ms` +
      (said.unlike === "yes" ? " · unlike all of the training" : "");
  }
  at("results").prepend(card);
  while (at("results").children.length > most) {
    const last = at("results").lastElementChild;
    const address = last.querySelector(".open")?.href;
    if (address) URL.revokeObjectURL(address);
    last.remove();
  }
}

async function work() {
  if (isBusy || !(await greetOnce())) return;
  isBusy = true;
  while (waiting.length) {
    const file = waiting.shift();
    at("state").textContent = `${file.name}, ${waiting.length} more …`;
    try {
      show(file, await score(file));
    } catch (error) {
      show(file, null, error.message);
    }
  }
  at("state").textContent = "";
  isBusy = false;
  lookAround().catch(() => {});
}

async function greetOnce() {
  return at("model").options.length > 0 || greet();
}

function take(files) {
  waiting.push(...files);
  work();
}

at("files").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = "";
});
for (const kind of ["dragover", "drop", "dragleave"]) {
  // Anywhere on the page: a browser would leave it for a picture that misses the field.
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") take([...event.dataTransfer.files]);
  });
}
at("key").addEventListener("change", () => greet().then((isIn) => isIn && ((at("state").textContent = ""), work())));
at("fields").addEventListener("submit", (event) => event.preventDefault());
greet();
