const byScore = (value) => ranking.filter(({ dataset }) => Number(dataset.score) > value).length;

// How many images would be above another threshold; verdicts and outlines stay as they are.
function recount() {
  const slider = byId("threshold");
  const value = Number(slider.value);
  byId("recount").textContent =
    `${value.toFixed(2)}: ${counted(byScore(value))} of ${counted(ranking.length)} images above`;
  const { width } = byId("histogram").viewBox.baseVal;
  const x = Math.min(1, value / slider.max) * width;
  for (const end of ["x1", "x2"]) byId("other-threshold").setAttribute(end, x);
}

// The image whose rank was clicked on, or touched.
function openRank(event) {
  const { left, width } = byId("curve").getBoundingClientRect();
  const share = (event.clientX - left) / width;
  const position = Math.floor(share * ranking.length);
  show(ranking[Math.max(0, Math.min(ranking.length - 1, position))]);
}
