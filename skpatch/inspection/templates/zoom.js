// What of the image both panes show, in its pixels; null for all of it.
let seen = null;
const LARGEST = 32;
const panes = () => [...document.querySelectorAll("#views svg")];
const whole = () => picture(opened).viewBox.baseVal;

function apply() {
  const { width, height } = whole();
  const { x, y, w, h } = seen ?? { x: 0, y: 0, w: width, h: height };
  for (const pane of panes()) pane.setAttribute("viewBox", `${x} ${y} ${w} ${h}`);
  byId("views").classList.toggle("zoomed", seen !== null);
  byId("fit").ariaDisabled = seen === null;
}

// Show a part of the image's own shape around a point, as much larger as `factor`.
function lookAround(x, y, factor) {
  const { width, height } = whole();
  const wanted = Math.min(LARGEST, factor);
  const [w, h] = [width / wanted, height / wanted];
  const within = (middle, length, all) => Math.max(0, Math.min(all - length, middle - length / 2));
  seen = wanted <= 1.001 ? null : { x: within(x, w, width), y: within(y, h, height), w, h };
  apply();
}

function lookAt(box) {
  seen = null;
  if (!box) return apply();
  const [left, top, right, bottom] = box;
  const { width, height } = whole();
  const factor = Math.min(width / (right - left), height / (bottom - top)) / 3;
  lookAround((left + right) / 2, (top + bottom) / 2, Math.max(2, factor));
}

const factorNow = () => (seen ? whole().width / seen.w : 1);

// Enlarge, and keep the point (x, y) of the image where it is on the screen.
function zoom(by, x, y) {
  const { width, height } = whole();
  const { x: left, y: top, w, h } = seen ?? { x: 0, y: 0, w: width, h: height };
  const factor = Math.min(LARGEST, Math.max(1, factorNow() * by));
  const [share, down] = x === undefined ? [0.5, 0.5] : [(x - left) / w, (y - top) / h];
  const [px, py] = [left + share * w, top + down * h];
  lookAround(px + ((0.5 - share) * width) / factor, py + ((0.5 - down) * height) / factor, factor);
}

// Where in the image a pointer is.
function pixel(pane, event) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(pane.getScreenCTM().inverse());
  return [at.x, at.y];
}

function pan(pane, dx, dy) {
  if (!seen) return;
  const scale = pane.getScreenCTM().a;
  lookAround(seen.x + seen.w / 2 - dx / scale, seen.y + seen.h / 2 - dy / scale, factorNow());
}

// Fingers or the mouse on a pane, by their numbers.
const pointers = new Map();

function gap() {
  const [a, b] = [...pointers.values()];
  return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
}

function drag(event) {
  const before = pointers.get(event.pointerId);
  const pane = event.target.closest("svg");
  if (!before || !pane) return;
  const apart = pointers.size === 2 && gap();
  pointers.set(event.pointerId, event);
  if (apart) zoom(gap() / apart, ...pixel(pane, event));
  else pan(pane, event.clientX - before.clientX, event.clientY - before.clientY);
}

byId("views").addEventListener("wheel", (event) => {
  const pane = event.target.closest("svg");
  // What cannot be reduced is scrolled away.
  if (!pane || (!seen && event.deltaY > 0)) return;
  event.preventDefault();
  zoom(Math.exp(-event.deltaY / 400), ...pixel(pane, event));
}, { passive: false });
byId("views").addEventListener("pointerdown", (event) => {
  if (!event.target.closest("svg") || event.button) return;
  event.target.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, event);
});
byId("views").addEventListener("pointermove", drag);
for (const kind of ["pointerup", "pointercancel"]) {
  byId("views").addEventListener(kind, (event) => pointers.delete(event.pointerId));
}
byId("views").addEventListener("dblclick", (event) => {
  const pane = event.target.closest("svg");
  if (pane) seen ? lookAt(null) : zoom(4, ...pixel(pane, event));
});
byId("larger").addEventListener("click", () => zoom(1.5));
byId("smaller").addEventListener("click", () => zoom(1 / 1.5));
byId("fit").addEventListener("click", () => lookAt(null));
