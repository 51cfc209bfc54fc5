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

// The images that are shown, in the order of suspicion: the table of the command line.
function saveRanking() {
  const columns = {
    image: ({ name }) => safe(name),
    score: ({ score }) => score,
    p_value: ({ pvalue }) => pvalue,
    label: ({ verdict }) => verdict,
    rank: ({ rank }) => rank,
    n_regions: ({ regions }) => String(JSON.parse(regions).length),
    regions: ({ regions }) => regions,
    noise_patches: ({ removed = "" }) => removed,
    decision: ({ decision, known = "" }) => decision ?? known,
  };
  // Only if an image has something to say there.
  const more = {
    unlike: ({ unlike = "no" }) => unlike,
    group: ({ group = "" }) => group,
    copy_of: ({ original = "" }) => safe(original),
  };
  for (const [kind, name] of [["unlike", "unlike"], ["group", "group"], ["original", "copy_of"]]) {
    if (ranking.some((card) => kind in card.dataset)) columns[name] = more[name];
  }
  const rows = ranking.filter(isShown).map(({ dataset }) =>
    Object.values(columns).map((column) => column(dataset)),
  );
  download("skpatch-ranking.csv", [Object.keys(columns), ...rows]);
}
