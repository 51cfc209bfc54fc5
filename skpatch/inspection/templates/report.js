"use strict";
{
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;
  const gallery = byId("gallery");
  const ranking = [...gallery.children];
  const collator = new Intl.Collator(undefined, { numeric: true });
  const number = (text) => (text === "" ? NaN : Number(text));
  // What an image is above the threshold.
  const word = gallery.dataset.word;
  const byRank = (a, b) => a.dataset.rank - b.dataset.rank;
  // Images without p-value come last.
  const pvalue = (card) => (card.dataset.pvalue === "" ? 2 : Number(card.dataset.pvalue));
  const orders = {
    rank: byRank,
    reversed: (a, b) => byRank(b, a),
    pvalue: (a, b) => pvalue(a) - pvalue(b) || byRank(a, b),
    name: (a, b) => collator.compare(a.dataset.name, b.dataset.name) || byRank(a, b),
  };

  function sort() {
    for (const card of [...ranking].sort(orders[byId("order").value])) gallery.append(card);
  }

  let group = null;

  function filter() {
    const wanted = byId("search").value.toLowerCase();
    const least = number(byId("least").value);
    const only = byId("only").checked;
    let shown = 0;
    for (const card of ranking) {
      const { name, score } = card.dataset;
      card.hidden =
        !name.toLowerCase().includes(wanted) ||
        (group !== null && card.dataset.group !== group) ||
        (only && !card.classList.contains("alarm")) ||
        (least > 0 && !(number(score) >= least));
      shown += !card.hidden;
    }
    const total = ranking.length;
    const images = total === 1 ? "image" : "images";
    const format = (count) => count.toLocaleString("en");
    byId("count").textContent =
      shown === total
        ? `${format(total)} ${images}`
        : `${format(shown)} of ${format(total)} ${images}`;
    byId("nothing").hidden = shown > 0;
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
    byId("search").value = byId("least").value = "";
    byId("only").checked = false;
    choose(null);
    byId("search").focus();
  }

  function setStrength() {
    root.classList.remove("bare");
    root.style.setProperty("--heat", byId("strength").value / 100);
  }

  // Outlines stay: they say where to look, and colours may hide what is there.
  function toggleColours(event) {
    const typing = event.target.matches("input:not([type=range], [type=checkbox]), select");
    if (event.key.toLowerCase() !== "h" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!typing) root.classList.toggle("bare");
  }

  // Controls, separators of lines, and what turns the direction of text.
  const controls =
    /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
  // Where a field starts, also if a spreadsheet splits it at semicolons.
  const formula = /(^|;)(\s*)(?=[=+\-@＝＋－＠﹦﹢﹣﹫])/g;

  // RFC 4180. A spreadsheet would run a name that starts like a formula; the apostrophe stops it.
  function csvField(text) {
    const safe = text
      .replace(controls, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`)
      .replace(formula, "$1'$2");
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  }

  function csv() {
    const header = ["rank", "name", "score", "p_value", word];
    const hasRemoved = "removed" in ranking[0].dataset;
    const hasNotes = ranking.some((card) => card.dataset.note);
    const rows = ranking.map((card) => {
      const { rank, name, score, pvalue, removed, group = "", declared = "no", note = "" } = card.dataset;
      const alarm = card.classList.contains("alarm") ? "yes" : "no";
      const fields = [rank, csvField(name), score, pvalue, alarm];
      if (hasRemoved) fields.push(removed, group, declared);
      return hasNotes ? [...fields, csvField(note)] : fields;
    });
    if (hasRemoved) header.push("removed_patches", "group", "declared_normal");
    if (hasNotes) header.push("note");
    return [header, ...rows].map((fields) => `${fields.join(",")}\r\n`).join("");
  }

  function save() {
    // The mark at the start tells spreadsheets that this is UTF-8.
    const url = URL.createObjectURL(new Blob(["\ufeff", csv()], { type: "text/csv" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = "skpatch-ranking.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  }

  const viewer = byId("viewer");
  let opened = null;

  function neighbour(step) {
    const shown = [...gallery.children].filter((card) => !card.hidden);
    return shown[shown.indexOf(opened) + step];
  }

  function fact(term, value, kind = "") {
    const group = document.createElement("div");
    group.className = kind;
    for (const [tag, text] of [["dt", term], ["dd", value]]) {
      const element = document.createElement(tag);
      element.textContent = text;
      group.append(element);
    }
    return group;
  }

  function show(card) {
    if (!card) return;
    opened = card;
    const { rank, name, removed, group: alike, declared, note } = card.dataset;
    const text = (part) => card.querySelector(`.${part}`)?.textContent;
    const kind = card.classList.contains("alarm") ? "alarm" : "";
    byId("viewer-name").textContent = name;
    const marked = card.querySelector("svg").cloneNode(true);
    const plain = marked.cloneNode(true);
    for (const part of plain.querySelectorAll(".heat, .outline")) part.remove();
    byId("marked").replaceChildren(marked);
    byId("plain").replaceChildren(plain);
    byId("facts").replaceChildren(
      fact("Rank", `${rank} of ${ranking.length}`),
      fact("Score", `${text("score b")}, ${text("verdict")}`, kind),
      fact("p-value", text("pvalue")),
    );
    if (text("regions")) byId("facts").append(fact("Outlined", `${text("regions")} of the image`));
    if (removed !== undefined) byId("facts").append(fact("Noise patches", removed));
    if (alike !== undefined) byId("facts").append(fact("Group", alike));
    if (declared !== undefined) byId("facts").append(fact("Declared normal", declared));
    if (note) byId("facts").append(fact("Note", note));
    // Not `disabled`: a button that has the focus would lose it.
    byId("previous").ariaDisabled = !neighbour(-1);
    byId("next").ariaDisabled = !neighbour(1);
    if (!viewer.open) viewer.showModal();
  }

  gallery.addEventListener("click", (event) => {
    if (event.target.closest("button")) show(event.target.closest(".card"));
  });
  viewer.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    show(neighbour(step));
  });
  viewer.addEventListener("click", (event) => {
    if (event.target === viewer) viewer.close();
  });
  viewer.addEventListener("close", () => opened.querySelector("button").focus());
  byId("previous").addEventListener("click", () => show(neighbour(-1)));
  byId("next").addEventListener("click", () => show(neighbour(1)));
  byId("close").addEventListener("click", () => viewer.close());
  byId("order").addEventListener("change", sort);
  for (const id of ["search", "least", "only"]) byId(id).addEventListener("input", filter);
  byId("strength").addEventListener("input", setStrength);
  for (const button of groupButtons) {
    button.hidden = false;
    button.addEventListener("click", () => {
      choose(button.dataset.group === group ? null : button.dataset.group);
    });
  }
  document.addEventListener("keydown", toggleColours);
  byId("clear").addEventListener("click", clear);
  byId("save").addEventListener("click", save);

  // A browser may keep the controls as they were when the page is loaded again.
  if (byId("order").value !== "rank") sort();
  filter();
  setStrength();
  byId("controls").hidden = false;
}
