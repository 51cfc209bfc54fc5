// Controls, separators of lines, and what turns the direction of text.
const controls =
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
// Where a field starts, also if a spreadsheet splits it at semicolons.
const formula = /(^|;)(\s*)(?=[=+\-@＝＋－＠﹦﹢﹣﹫])/g;

// A spreadsheet would run a name that starts like a formula; the apostrophe stops it.
function safe(text) {
  return text
    .replace(controls, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .replace(formula, "$1'$2");
}

// RFC 4180. The mark at the start tells spreadsheets that this is UTF-8.
function csvText(rows) {
  const field = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return `\ufeff${rows.map((row) => `${row.map(field).join(",")}\r\n`).join("")}`;
}

// Rows of a file, which a spreadsheet may have written again with another separator.
function parseCsv(text) {
  const separator = /[,;\t]/.exec(text)?.[0] ?? ",";
  const fields = new RegExp(
    `("(?:[^"]|"")*"|[^${separator}\\r\\n]*)(${separator}|\\r?\\n|\\r|$)`, "g",
  );
  const rows = [[]];
  for (const [, field, end] of text.replace("\ufeff", "").matchAll(fields)) {
    rows.at(-1).push(field.startsWith('"') ? field.slice(1, -1).replaceAll('""', '"') : field);
    if (end !== separator) rows.push([]);
  }
  return rows.filter((row) => row.length > 1);
}

function download(name, rows) {
  const url = URL.createObjectURL(new Blob([csvText(rows)], { type: "text/csv" }));
  const link = create("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

// The images that are shown, in the order of suspicion.
function saveRanking() {
  const header = ["image", "score", "p_value", "label", "rank", "n_regions", "regions"];
  const hasRemoved = "removed" in ranking[0].dataset;
  const hasNotes = ranking.some((card) => card.dataset.note);
  if (hasRemoved) header.push("noise_patches");
  header.push("decision");
  if (hasRemoved) header.push("group", "declared_normal");
  if (hasNotes) header.push("note");
  const rows = ranking.filter(isShown).map((card) => {
    const { name, score, pvalue, rank, regions, removed, decision = "" } = card.dataset;
    const { group = "", declared = "no", note = "" } = card.dataset;
    const nRegions = String(JSON.parse(regions).length);
    const fields = [safe(name), score, pvalue, textOf(card, "verdict"), rank, nRegions, regions];
    if (hasRemoved) fields.push(removed);
    fields.push(decision);
    if (hasRemoved) fields.push(group, declared);
    return hasNotes ? [...fields, safe(note)] : fields;
  });
  download("skpatch-ranking.csv", [header, ...rows]);
}
